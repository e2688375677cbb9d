/* The ceiling: the relay on rabbitmq-c, with confirms.
 *
 * Takes ids from one queue, publishes each to the others, and acknowledges an input when the broker
 * has confirmed all of its outputs. One connection, one channel, one thread. Acknowledgements leave
 * together, whenever everything that was received has been dealt with.
 *
 * usage: relay INBOUND COUNT PREFETCH OUTBOUND...     SLINGSHOT_BENCH_AMQP_URL names the broker.
 */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { CHANNEL = 1, FRAME_MAX = 131072, NO_HEARTBEAT = 0, PERSISTENT = 2, MANDATORY = 1 };

static amqp_connection_state_t connection;
static uint64_t outputs_of_each; /* how many outbound queues there are */
static char *confirmed;          /* by sequence number - 1 */
static uint64_t oldest = 1;      /* sequence number of the oldest unconfirmed publish */
static uint64_t published;       /* sequence number of the latest publish */
static uint64_t acknowledged;    /* delivery tag */

static void fail(const char *what)
{
    fprintf(stderr, "relay: %s failed\n", what);
    exit(1);
}

static void check(int status, const char *what)
{
    if (status != AMQP_STATUS_OK) {
        fprintf(stderr, "relay: %s: %s\n", what, amqp_error_string2(status));
        exit(1);
    }
}

static void check_reply(const char *what)
{
    if (amqp_get_rpc_reply(connection).reply_type != AMQP_RESPONSE_NORMAL)
        fail(what);
}

static void log_in(char *url)
{
    struct amqp_connection_info info;
    check(amqp_parse_url(url, &info), "the URL of the broker");
    connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    check(amqp_socket_open(socket, info.host, info.port), "connecting");
    amqp_rpc_reply_t reply = amqp_login(connection, info.vhost, 0, FRAME_MAX, NO_HEARTBEAT,
                                        AMQP_SASL_METHOD_PLAIN, info.user, info.password);
    if (reply.reply_type != AMQP_RESPONSE_NORMAL)
        fail("the login");
    amqp_channel_open(connection, CHANNEL);
    check_reply("opening a channel");
}

static void consume(const char *queue, uint16_t prefetch)
{
    amqp_confirm_select(connection, CHANNEL);
    check_reply("confirm.select");
    amqp_basic_qos(connection, CHANNEL, 0, prefetch, 0);
    check_reply("basic.qos");
    amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    check_reply("basic.consume");
}

static void wait_frame(amqp_frame_t *frame)
{
    check(amqp_simple_wait_frame(connection, frame), "waiting for a frame");
}

static uint64_t read_id(void)
{
    amqp_frame_t frame;
    uint64_t id = 0;
    wait_frame(&frame);
    if (frame.frame_type != AMQP_FRAME_HEADER)
        fail("reading a header");
    for (uint64_t missing = frame.payload.properties.body_size; missing;) {
        wait_frame(&frame);
        if (frame.frame_type != AMQP_FRAME_BODY)
            fail("reading a body");
        const unsigned char *digits = frame.payload.body_fragment.bytes;
        for (size_t i = 0; i < frame.payload.body_fragment.len; i++) {
            if (digits[i] < '0' || digits[i] > '9')
                fail("reading an id");
            id = id * 10 + (digits[i] - '0');
        }
        missing -= frame.payload.body_fragment.len;
    }
    return id;
}

static void publish(uint64_t id, char **queues)
{
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG,
                                          .delivery_mode = PERSISTENT};
    char digits[21];
    int size = snprintf(digits, sizeof digits, "%" PRIu64, id);
    amqp_bytes_t body = {.len = (size_t)size, .bytes = digits};
    for (uint64_t i = 0; i < outputs_of_each; i++) {
        check(amqp_basic_publish(connection, CHANNEL, amqp_empty_bytes,
                                 amqp_cstring_bytes(queues[i]), MANDATORY, 0, &properties, body),
              "publishing");
        published++;
    }
}

static void confirm(const amqp_basic_ack_t *ack)
{
    if (!ack->multiple) {
        confirmed[ack->delivery_tag - 1] = 1;
    } else {
        for (uint64_t sequence = oldest; sequence <= ack->delivery_tag; sequence++)
            confirmed[sequence - 1] = 1;
    }
    while (oldest <= published && confirmed[oldest - 1])
        oldest++;
}

static void acknowledge(void)
{
    uint64_t settled = (oldest - 1) / outputs_of_each;
    if (settled > acknowledged) {
        check(amqp_basic_ack(connection, CHANNEL, settled, 1), "acknowledging");
        acknowledged = settled;
    }
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* getrusage would also count what our parent had in use when it started us. */
static long peak_kib(const struct rusage *usage)
{
    char line[128];
    long peak = usage->ru_maxrss;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        return peak;
    while (fgets(line, sizeof line, status))
        sscanf(line, "VmHWM: %ld", &peak);
    fclose(status);
    return peak;
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void relay(uint64_t count, char **queues, double *started, struct rusage *usage)
{
    amqp_frame_t frame;
    while (acknowledged < count) {
        amqp_maybe_release_buffers(connection);
        wait_frame(&frame);
        if (frame.frame_type != AMQP_FRAME_METHOD)
            fail("reading a method");
        if (frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD) {
            if (*started == 0) {
                *started = now();
                getrusage(RUSAGE_SELF, usage);
            }
            publish(read_id(), queues);
        } else if (frame.payload.method.id == AMQP_BASIC_ACK_METHOD) {
            confirm(frame.payload.method.decoded);
        } else {
            fail("publishing: a message came back, or was refused");
        }
        if (!amqp_frames_enqueued(connection) && !amqp_data_in_buffer(connection))
            acknowledge();
    }
}

int main(int count_of_arguments, char **arguments)
{
    char *url = getenv("SLINGSHOT_BENCH_AMQP_URL");
    if (count_of_arguments < 5 || url == NULL) {
        fprintf(stderr, "usage: relay INBOUND COUNT PREFETCH OUTBOUND...\n");
        return 2;
    }
    uint64_t count = strtoull(arguments[2], NULL, 10);
    outputs_of_each = (uint64_t)count_of_arguments - 4;
    confirmed = calloc(count * outputs_of_each, 1);
    if (confirmed == NULL)
        fail("allocating memory");
    log_in(url);
    consume(arguments[1], (uint16_t)atoi(arguments[3]));
    double started = 0;
    struct rusage before, after;
    relay(count, arguments + 4, &started, &before);
    double seconds = now() - started;
    getrusage(RUSAGE_SELF, &after);
    amqp_channel_close(connection, CHANNEL, AMQP_REPLY_SUCCESS);
    amqp_connection_close(connection, AMQP_REPLY_SUCCESS);
    printf("{\"messages\": %" PRIu64 ", \"seconds\": %.6f, \"cpu_user\": %.6f, \"cpu_sys\": %.6f, "
           "\"peak_rss\": %ld, \"version\": \"rabbitmq-c %s\"}\n",
           count, seconds, seconds_of(after.ru_utime) - seconds_of(before.ru_utime),
           seconds_of(after.ru_stime) - seconds_of(before.ru_stime), peak_kib(&after) * 1024,
           amqp_version());
    return 0;
}
