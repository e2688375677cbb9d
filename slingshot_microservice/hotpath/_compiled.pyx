# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: freethreading_compatible=True, infer_types=False, auto_pickle=False, binding=False
# cython: embedsignature=True, embedsignature.format=clinic
"""The hot path compiled: the same names, results and errors as `_fallback`, which specifies it."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_Occurred
from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from cpython.long cimport PyLong_CheckExact
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE
from cpython.unicode cimport PyUnicode_CheckExact
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

import time
from collections import deque
from threading import Lock

from ._common import (
    FrameError,
    ID_MAX as _ID_MAX,
    InvalidOutputError,
    MalformedIdError,
    RawDelivery,
    Received,
    Returned,
    WHITE_SPACE,
    check_channel,
    no_such_queue,
    out_of_range,
    shorten,
)

__all__ = ["FrameReader", "FrameWriter", "Inbox", "Ledger", "RoutingTable", "decode_id"]

cdef extern from "Python.h":
    # Both without Cython's check for errors: it is made below, where it costs nothing.
    unsigned long long as_unsigned "PyLong_AsUnsignedLongLong" (object) noexcept
    Py_ssize_t as_signed "PyLong_AsSsize_t" (object) noexcept

cdef enum:
    METHOD_FRAME = 1
    HEADER_FRAME = 2
    BODY_FRAME = 3
    HEARTBEAT_FRAME = 8
    FRAME_END = 0xCE
    PROTOCOL_HEADER_START = 65
    FRAME_HEAD_SIZE = 7
    FRAME_MIN = 8  # also the size of the header of another protocol
    PAYLOAD_MAX = 16 * 131072 - 8
    BODY_MAX = 536870912
    CONTENT_HEAD_SIZE = 14
    BASIC_CLASS = 60
    PUBLISH = 60 << 16 | 40
    RETURN = 60 << 16 | 50
    DELIVER = 60 << 16 | 60
    ACK = 60 << 16 | 80
    NACK = 60 << 16 | 120
    HEADERS_FLAG = 0x2000
    DELIVERY_MODE_FLAG = 0x1000
    ID_DIGITS_MAX = 20
    PUBLISH_REST_MAX = 23 + 7 + 20 + 1  # bytes of a publish after its method frame

cdef object ID_MAX = _ID_MAX


# --- ids --------------------------------------------------------------------------------------


cdef inline bint read_digits(const uint8_t *text, Py_ssize_t size, uint64_t *value) noexcept nogil:
    """Read 1 to 20 ASCII digits; return whether that is what there was, and fits 64 bits."""
    cdef uint64_t result = 0
    cdef uint64_t digit
    cdef uint64_t all_but_last = <uint64_t> -1 // 10  # of the largest id, whose last digit is 5
    cdef Py_ssize_t i
    if size < 1 or size > ID_DIGITS_MAX:
        return False
    for i in range(size):
        digit = <uint64_t> text[i] - 48
        if digit > 9:
            return False
        if i == 19 and (result > all_but_last or (result == all_but_last and digit > 5)):
            return False
        result = result * 10 + digit
    value[0] = result
    return True


cdef inline bint read_canonical(
    const uint8_t *text, Py_ssize_t size, uint64_t *value
) noexcept nogil:
    """Read an id as we would write it ourselves: any other way to write one has to be kept."""
    return read_digits(text, size, value) and (size == 1 or text[0] != 48)


cdef inline int write_digits(uint64_t value, uint8_t *text) noexcept nogil:
    """Write ``value`` in decimal, without padding, and return the number of digits."""
    cdef uint8_t reverse[20]
    cdef int size = 0
    cdef int i
    while True:
        reverse[size] = <uint8_t> (48 + value % 10)
        size += 1
        value //= 10
        if not value:
            break
    for i in range(size):
        text[i] = reverse[size - 1 - i]
    return size


cdef uint64_t unsigned(object number, str what) except? 0xFFFFFFFFFFFFFFFFULL:
    """Return ``number``, which is to fit 64 bits without a sign."""
    cdef uint64_t value = as_unsigned(number)
    if value == <uint64_t> -1 and PyErr_Occurred():
        PyErr_Clear()
        raise out_of_range(what, number)
    return value


def decode_id(bytes body not None):
    """Read an id from a message body.

    The rule is the contract's, which is Rust's ``str::trim`` and ``str::parse::<u64>``: UTF-8,
    white space around it ignored, one ``+`` allowed, then ASCII digits only.

    Args:
        body: The body, as received.

    Returns:
        The id, 0 to 2**64 - 1.

    Raises:
        MalformedIdError: The body is anything else.
    """
    cdef uint64_t value
    if read_digits(<const uint8_t *> PyBytes_AS_STRING(body), PyBytes_GET_SIZE(body), &value):
        return value
    return decode_unusual(body)


cdef object decode_unusual(bytes body):
    try:
        digits = body.decode("utf-8").strip(WHITE_SPACE).removeprefix("+")
    except UnicodeDecodeError:
        raise MalformedIdError(f"{shorten(body)} is no id: it is not UTF-8 text") from None
    if not (digits.isascii() and digits.isdigit()):
        raise MalformedIdError(f"{shorten(body)} is no id: expected decimal digits")
    significant = digits.lstrip("0") or "0"
    if len(significant) > ID_DIGITS_MAX or int(significant) > ID_MAX:
        raise MalformedIdError(f"{shorten(body)} is no id: it is over {ID_MAX}")
    return int(significant)


# --- routing ----------------------------------------------------------------------------------


@cython.final
cdef class RoutingTable:
    """Which queues an output of a case goes to.

    A case's type counts: ``True``, ``1`` and ``"1"`` are three cases. An ``IntEnum`` is an
    integer and a subclass of ``str`` a string. A table never changes: threads may share one.

    Args:
        routes: For every case the indexes of its queues. The last of two equal cases wins.
    """

    cdef dict booleans
    cdef dict integers
    cdef dict strings

    def __init__(self, routes):
        self.booleans = {}
        self.integers = {}
        self.strings = {}
        for case, queues in routes:
            if isinstance(case, bool):
                self.booleans[case] = tuple(queues)
            elif isinstance(case, int):
                self.integers[int(case)] = tuple(queues)
            else:
                self.strings[str.__str__(case)] = tuple(queues)

    cdef object find(self, object case):
        if case is True or case is False:
            return self.booleans.get(case)
        if PyUnicode_CheckExact(case):
            return self.strings.get(case)
        if isinstance(case, int):
            if case.bit_length() >= 128 and case != -(1 << 127):
                raise InvalidOutputError(
                    f"case {shorten(case)} is too large: expected an int of 128 bits"
                )
            return self.integers.get(int(case))
        if isinstance(case, str):
            return self.strings.get(str.__str__(case))
        raise InvalidOutputError(
            f"case {shorten(case)} is of type {type(case).__name__}: "
            "expected a bool, an int or a str"
        )

    def lookup(self, case):
        """Return the indexes of the queues of ``case``, or None when it is not listed.

        Raises:
            InvalidOutputError: ``case`` is no bool, int or str, or an int of over 128 bits.
        """
        return self.find(case)

    def plan(self, outputs):
        """Exhaust what ``process`` gave back and say what is to be sent.

        Args:
            outputs: Pairs (id, case); None stands for none.

        Returns:
            The messages to send, in order, and the cases that are not listed, one for every
            output that therefore goes nowhere.

        Raises:
            InvalidOutputError: Something in it is no such pair; the message names it.
        """
        cdef list publishes = []
        cdef list unlisted = []
        cdef object id, case, queues, queue
        for output in iterate(outputs):
            if PyTuple_CheckExact(output) and PyTuple_GET_SIZE(output) == 2:
                id = <object> PyTuple_GET_ITEM(output, 0)
                case = <object> PyTuple_GET_ITEM(output, 1)
            elif isinstance(output, (tuple, list)) and len(output) == 2:
                id, case = output
            else:
                raise InvalidOutputError(
                    f"output {shorten(output)}: expected a pair (id, case)"
                )
            id = checked_id(output, id)
            try:
                queues = self.find(case)
            except InvalidOutputError as error:
                raise InvalidOutputError(f"output {shorten(output)}: {error}") from None
            if queues is None:
                unlisted.append(case)
            else:
                for queue in <tuple> queues:
                    publishes.append((queue, id))
        return publishes, unlisted


cdef object iterate(object outputs):
    if outputs is None:
        return ()
    if isinstance(outputs, (str, bytes)) or not hasattr(type(outputs), "__iter__"):
        raise InvalidOutputError(
            f"process returned {shorten(outputs)}: expected pairs (id, case), yielded or in a list"
        )
    return outputs


cdef object checked_id(object output, object id):
    if PyLong_CheckExact(id):
        if as_unsigned(id) != <uint64_t> -1 or not PyErr_Occurred():
            return id
        PyErr_Clear()
    elif isinstance(id, bool) or not isinstance(id, int):
        raise InvalidOutputError(
            f"output {shorten(output)}: id {shorten(id)} is of type {type(id).__name__}: "
            "expected an int"
        )
    else:
        id = int(id)
        if 0 <= id <= ID_MAX:
            return id
    raise InvalidOutputError(
        f"output {shorten(output)}: id {shorten(id)} is out of range: expected 0 to {ID_MAX}"
    )


# --- writing ----------------------------------------------------------------------------------


cdef inline void put16(uint8_t *at, uint32_t value) noexcept nogil:
    at[0] = <uint8_t> (value >> 8)
    at[1] = <uint8_t> value


cdef inline void put32(uint8_t *at, uint32_t value) noexcept nogil:
    put16(at, value >> 16)
    put16(at + 2, value)


cdef inline void put64(uint8_t *at, uint64_t value) noexcept nogil:
    put32(at, <uint32_t> (value >> 32))
    put32(at + 4, <uint32_t> value)


cdef inline void put_frame_head(uint8_t *at, int kind, uint32_t channel, uint32_t size) noexcept nogil:
    at[0] = <uint8_t> kind
    put16(at + 1, channel)
    put32(at + 3, size)


@cython.final
cdef class FrameWriter:
    """Gathers publishes, acks and nacks of one channel, to be sent as one piece.

    Every publish goes to the default exchange with ``mandatory`` set, and is persistent. An object
    belongs to one thread.

    Args:
        channel: The channel's number.
        queues: The names that indexes stand for, each up to 255 bytes of UTF-8.
    """

    cdef uint8_t *buffer
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity
    cdef uint32_t channel
    cdef list methods  # by queue: the method frame of a publish to it, whole

    def __cinit__(self):
        self.buffer = NULL
        self.capacity = 0
        self.methods = []

    def __init__(self, channel, queues):
        self.channel = check_channel(channel)
        self.methods = [publish_method(channel, queue) for queue in queues]
        self.size = 0

    def __dealloc__(self):
        PyMem_Free(self.buffer)

    cdef uint8_t *reserve(self, Py_ssize_t more) except NULL:
        cdef Py_ssize_t capacity
        cdef uint8_t *buffer
        if self.size + more > self.capacity:
            capacity = max(2 * self.capacity, self.size + more, 4096)
            buffer = <uint8_t *> PyMem_Realloc(self.buffer, capacity)
            if buffer == NULL:
                raise MemoryError()
            self.buffer = buffer
            self.capacity = capacity
        return self.buffer + self.size

    cdef Py_ssize_t add(self, object queue, uint64_t id) except -1:
        """Write one message, and return the index of its queue."""
        cdef Py_ssize_t index = as_signed(queue)
        if index < 0 or index >= PyList_GET_SIZE(self.methods):
            PyErr_Clear()  # an index of more than 63 bits is none, either
            raise no_such_queue(queue, len(self.methods))
        cdef bytes method = <bytes> PyList_GET_ITEM(self.methods, index)
        cdef Py_ssize_t method_size = PyBytes_GET_SIZE(method)
        cdef uint8_t *start = self.reserve(method_size + PUBLISH_REST_MAX)
        cdef uint8_t *at = start + method_size
        cdef int digits
        memcpy(start, PyBytes_AS_STRING(method), method_size)
        put_frame_head(at, HEADER_FRAME, self.channel, CONTENT_HEAD_SIZE + 1)
        put16(at + 7, BASIC_CLASS)
        put16(at + 9, 0)
        put16(at + 19, DELIVERY_MODE_FLAG)
        at[21] = 2  # persistent
        at[22] = FRAME_END
        digits = write_digits(id, at + 23 + FRAME_HEAD_SIZE)
        put64(at + 11, digits)
        put_frame_head(at + 23, BODY_FRAME, self.channel, digits)
        at += 23 + FRAME_HEAD_SIZE + digits
        at[0] = FRAME_END
        self.size += at + 1 - start
        return index

    def publish(self, queue, id):
        """Add one message.

        Args:
            queue: The index of the queue.
            id: The id to send, 0 to 2**64 - 1.

        Raises:
            IndexError: There is no such queue.
            OverflowError: ``id`` is out of range.
        """
        self.add(queue, unsigned(id, "id"))

    def ack(self, tag, bint multiple):
        """Add an acknowledgement of delivery ``tag``, or of all up to it."""
        self.answer(ACK, unsigned(tag, "delivery tag"), multiple)

    def nack(self, tag, bint requeue):
        """Add a refusal of delivery ``tag``, which goes back to its queue if ``requeue``."""
        self.answer(NACK, unsigned(tag, "delivery tag"), requeue << 1)

    cdef int answer(self, uint32_t method, uint64_t tag, uint8_t bits) except -1:
        cdef uint8_t *at = self.reserve(21)
        put_frame_head(at, METHOD_FRAME, self.channel, 13)
        put32(at + 7, method)
        put64(at + 11, tag)
        at[19] = bits
        at[20] = FRAME_END
        self.size += 21
        return 0

    def take(self):
        """Return what was added since the last call, as one piece."""
        cdef bytes data = PyBytes_FromStringAndSize(<char *> self.buffer, self.size)
        self.size = 0
        return data


cdef bytes publish_method(uint32_t channel, object queue):
    cdef bytes name = queue.encode("utf-8")
    cdef uint8_t head[11]
    payload = b"\x00\x00\x00" + bytes([len(name)]) + name + b"\x01"
    put_frame_head(head, METHOD_FRAME, channel, len(payload) + 4)
    put32(head + 7, PUBLISH)
    return (<char *> head)[:11] + payload + b"\xce"


# --- reading ----------------------------------------------------------------------------------


cdef inline uint32_t get16(const uint8_t *at) noexcept nogil:
    return <uint32_t> at[0] << 8 | at[1]


cdef inline uint32_t get32(const uint8_t *at) noexcept nogil:
    return get16(at) << 16 | get16(at + 2)


cdef inline uint64_t get64(const uint8_t *at) noexcept nogil:
    return <uint64_t> get32(at) << 32 | get32(at + 4)


cdef const uint8_t *skip_short_string(const uint8_t *at, const uint8_t *end) except NULL:
    if at >= end or at[0] > end - at - 1:
        raise FrameError("a short string is longer than its frame")
    return at + 1 + at[0]


cdef str short_string(const uint8_t *at):
    return PyBytes_FromStringAndSize(<const char *> at + 1, at[0]).decode("utf-8", "replace")


cdef int need(const uint8_t *at, const uint8_t *end, Py_ssize_t size) except -1:
    if end - at < size:
        raise FrameError("a method frame is too short")
    return 0


@cython.final
cdef class FrameReader:
    """Reads deliveries, confirms and returns of one channel out of a connection's byte stream.

    All other frames come out as they went in. The stream may be cut anywhere. An object belongs to
    one thread.

    Args:
        channel: The number of the channel whose messages are ours.
    """

    cdef uint32_t channel
    cdef bytes rest
    cdef bint started
    # What has come in of a message whose parts are still coming in.
    cdef bint in_content
    cdef uint64_t tag
    cdef bint redelivered
    cdef object returned
    cdef int64_t missing  # bytes of the body that are still to come; -1 before the header
    cdef uint32_t flags
    cdef bytes properties
    cdef list body
    # What the current call has found.
    cdef list deliveries
    cdef list raw
    cdef list confirms
    cdef list returns

    def __cinit__(self):
        self.rest = b""
        self.body = []

    def __init__(self, channel):
        self.channel = check_channel(channel)
        self.rest = b""
        self.started = False
        self.in_content = False
        self.body = []

    def feed(self, bytes data not None):
        """Read the next piece of the stream.

        Args:
            data: The bytes that came in, cut anywhere.

        Returns:
            What is complete now. The beginning of a frame is kept for the next call.

        Raises:
            FrameError: The bytes are not AMQP 0-9-1. Nothing more can be read from this stream.
        """
        cdef bytes buffer = self.rest + data if self.rest else data
        cdef const uint8_t *start = <const uint8_t *> PyBytes_AS_STRING(buffer)
        cdef const uint8_t *stop = start + PyBytes_GET_SIZE(buffer)
        cdef const uint8_t *at = start
        cdef const uint8_t *end
        cdef uint32_t kind, size
        cdef list other = []
        self.deliveries = []
        self.raw = []
        self.confirms = []
        self.returns = []
        while stop - at >= FRAME_MIN:
            kind = at[0]
            if kind not in (METHOD_FRAME, HEADER_FRAME, BODY_FRAME, HEARTBEAT_FRAME):
                if self.started or kind != PROTOCOL_HEADER_START:
                    raise FrameError(f"there is no frame of type {kind}")
                other.append(buffer[at - start:])
                at = stop
                break
            size = get32(at + 3)
            if size > PAYLOAD_MAX:
                raise FrameError(f"a frame of {size} bytes is over the {PAYLOAD_MAX} we believe")
            if stop - at < <Py_ssize_t> size + FRAME_MIN:
                break
            end = at + FRAME_HEAD_SIZE + size
            if end[0] != FRAME_END:
                raise FrameError(f"a frame ends with octet {end[0]:#04x}, not 0xce")
            self.started = True
            if get16(at + 1) != self.channel or not self.take(kind, at + FRAME_HEAD_SIZE, end):
                other.append(PyBytes_FromStringAndSize(<const char *> at, end + 1 - at))
            at = end + 1
        self.rest = PyBytes_FromStringAndSize(<const char *> at, stop - at)
        return Received(self.deliveries, self.raw, self.confirms, self.returns, b"".join(other))

    cdef bint take(self, uint32_t kind, const uint8_t *at, const uint8_t *end) except -1:
        """Read one frame of our channel; return False if it is none of ours."""
        if not self.in_content:
            return kind == METHOD_FRAME and self.take_method(at, end)
        if kind == HEADER_FRAME and self.missing < 0:
            self.take_header(at, end)
        elif kind == BODY_FRAME and self.missing > 0:
            self.take_body(at, end)
        else:
            raise FrameError(f"a frame of type {kind} came in the middle of a message")
        return True

    cdef bint take_method(self, const uint8_t *at, const uint8_t *end) except -1:
        cdef uint32_t method
        cdef uint64_t tag
        cdef uint8_t bits
        cdef const uint8_t *text
        cdef const uint8_t *queue
        need(at, end, 4)
        method = get32(at)
        at += 4
        if method == DELIVER:
            at = skip_short_string(at, end)
            need(at, end, 9)
            tag = get64(at)
            bits = at[8]
            at = skip_short_string(at + 9, end)
            at = skip_short_string(at, end)
            self.begin(tag, bits & 1, None)
        elif method == ACK or method == NACK:
            need(at, end, 9)
            self.confirms.append((get64(at), bool(at[8] & 1), method == ACK))
            at += 9
        elif method == RETURN:
            need(at, end, 2)
            code = get16(at)
            text = at + 2
            at = skip_short_string(text, end)
            queue = skip_short_string(at, end)
            at = skip_short_string(queue, end)
            self.begin(0, False, Returned(code, short_string(text), short_string(queue), b""))
        else:
            return False
        if at != end:
            raise FrameError(f"a method frame is {end - at} bytes longer than its fields")
        return True

    cdef void begin(self, uint64_t tag, bint redelivered, object returned) noexcept:
        self.in_content = True
        self.tag = tag
        self.redelivered = redelivered
        self.returned = returned
        self.missing = -1

    cdef int take_header(self, const uint8_t *at, const uint8_t *end) except -1:
        cdef uint64_t size
        if end - at < CONTENT_HEAD_SIZE:
            raise FrameError("a content header is too short")
        if get16(at) != BASIC_CLASS:
            raise FrameError(f"a content header is of class {get16(at)}, not {BASIC_CLASS}")
        size = get64(at + 4)
        if size > BODY_MAX:
            raise FrameError(f"a body of {size} bytes is over the {BODY_MAX} that RabbitMQ takes")
        self.flags = get16(at + 12)
        self.properties = PyBytes_FromStringAndSize(<const char *> at + 12, end - at - 12)
        self.missing = size
        if not size:
            self.complete(b"")
        return 0

    cdef int take_body(self, const uint8_t *at, const uint8_t *end) except -1:
        cdef uint64_t value
        cdef bint whole = not self.body
        self.missing -= end - at
        if self.missing < 0:
            raise FrameError(f"a body is {-self.missing} bytes longer than announced")
        if self.missing == 0 and whole and self.returned is None and not self.flags & HEADERS_FLAG:
            if read_canonical(at, end - at, &value):
                self.in_content = False
                self.deliveries.append((self.tag, value, self.redelivered))
                return 0
        self.body.append(PyBytes_FromStringAndSize(<const char *> at, end - at))
        if not self.missing:
            self.complete(b"".join(self.body))
        return 0

    cdef int complete(self, bytes body) except -1:
        cdef uint64_t value
        cdef const uint8_t *at = <const uint8_t *> PyBytes_AS_STRING(body)
        self.in_content = False
        self.body = []
        if self.returned is not None:
            self.returns.append(self.returned._replace(body=body))
            return 0
        if not self.flags & HEADERS_FLAG and read_canonical(at, PyBytes_GET_SIZE(body), &value):
            self.deliveries.append((self.tag, value, self.redelivered))
            return 0
        self.raw.append(RawDelivery(self.tag, self.redelivered, self.properties, body))
        return 0


# --- the ledger -------------------------------------------------------------------------------

cdef enum State:
    IN_HAND  # delivered, and not finished
    WAITING  # for the answers to its publishes
    FINISHED  # may be acknowledged
    SETTLED  # acknowledged or handed back; to be removed


cdef struct Open:
    uint64_t tag
    int64_t missing
    State state


cdef struct Unconfirmed:
    uint64_t tag
    uint64_t id
    Py_ssize_t queue
    bint awaited  # False once it is answered
    bint orphan  # its delivery is gone


cdef enum:
    NO_DELIVERY = 0


@cython.final
cdef class Ledger:
    """The books of one service. An object belongs to one thread, and so do its writers."""

    # Deliveries in the order of their tags: opens[first:last]; those that are settled are
    # removed from the front as soon as they are there, from between when room is needed.
    cdef Open *opens
    cdef Py_ssize_t first, last, opens_capacity
    cdef uint64_t last_tag
    cdef Open startup  # what belongs to no delivery
    # Publishes by sequence number, from `oldest` to `sequence`, in a ring of a power of two.
    cdef Unconfirmed *ring
    cdef uint64_t ring_capacity, oldest, sequence
    cdef Py_ssize_t waiting_count, finished_count
    cdef dict answers  # by waiting delivery: its refused publishes, if there are any
    cdef list refused
    cdef dict came_back  # by publish: how often it was returned, and not yet accepted

    def __cinit__(self):
        self.opens = NULL
        self.ring = NULL
        self.first = self.last = self.opens_capacity = 0
        self.last_tag = 0
        self.ring_capacity = 0
        self.oldest = 1
        self.sequence = 0
        self.waiting_count = self.finished_count = 0
        self.startup.tag = NO_DELIVERY
        self.startup.missing = 0
        self.startup.state = IN_HAND
        self.answers = {}
        self.refused = []
        self.came_back = {}

    def __init__(self):
        pass  # without this method any arguments would be taken in silence

    def __dealloc__(self):
        PyMem_Free(self.opens)
        PyMem_Free(self.ring)

    @property
    def is_idle(self):
        """Whether no delivery waits for an answer, or for its acknowledgement."""
        return not (self.waiting_count or self.refused or self.finished_count)

    @property
    def oldest_open(self):
        """The oldest delivery that is neither acknowledged nor handed back; 0 without any."""
        return self.opens[self.first].tag if self.first < self.last else 0

    @property
    def finished(self):
        """The deliveries that may be acknowledged and are not yet."""
        cdef Py_ssize_t i
        tags = [self.opens[i].tag for i in range(self.first, self.last)
                if self.opens[i].state == FINISHED]
        if self.startup.state == FINISHED:
            tags.append(NO_DELIVERY)
        return frozenset(tags)

    def waits_for(self, uint64_t tag):
        """Whether delivery ``tag`` has publishes that are not safe yet."""
        cdef Open *open = self.find(tag)
        if open != NULL and open.state == WAITING:
            return True
        return any(refused == tag for refused, _ in self.refused)

    cdef Open *find(self, uint64_t tag) noexcept:
        """Return the open delivery of that tag, or NULL if there is none."""
        cdef Py_ssize_t low = self.first
        cdef Py_ssize_t high = self.last
        cdef Py_ssize_t middle
        if tag == NO_DELIVERY:
            return &self.startup
        while low < high:
            middle = (low + high) // 2
            if self.opens[middle].tag < tag:
                low = middle + 1
            else:
                high = middle
        if low < self.last and self.opens[low].tag == tag and self.opens[low].state != SETTLED:
            return &self.opens[low]
        return NULL

    cdef void enter(self, Open *open, State state) noexcept:
        self.waiting_count += (state == WAITING) - (open.state == WAITING)
        self.finished_count += (state == FINISHED) - (open.state == FINISHED)
        open.state = state

    def deliver(self, deliveries):
        """Note that messages came in, in the order of their tags.

        Raises:
            FrameError: The tags do not rise. To acknowledge several together would be wrong then.
        """
        cdef uint64_t tag
        for delivery in deliveries:
            tag = delivery[0]
            if tag <= self.last_tag:
                raise FrameError(f"delivery tag {tag} does not come after {self.last_tag}")
            if self.last == self.opens_capacity:
                self.make_room()
            self.opens[self.last].tag = self.last_tag = tag
            self.opens[self.last].missing = 0
            self.opens[self.last].state = IN_HAND
            self.last += 1

    cdef int make_room(self) except -1:
        """Remove what is settled from between, and take more memory if that is not enough."""
        cdef Py_ssize_t i
        cdef Py_ssize_t kept = 0
        cdef Py_ssize_t capacity
        cdef Open *opens
        for i in range(self.first, self.last):
            if self.opens[i].state != SETTLED:
                self.opens[kept] = self.opens[i]
                kept += 1
        self.first = 0
        self.last = kept
        if 2 * kept >= self.opens_capacity:
            capacity = max(256, 2 * self.opens_capacity)
            opens = <Open *> PyMem_Realloc(self.opens, capacity * sizeof(Open))
            if opens == NULL:
                raise MemoryError()
            self.opens = opens
            self.opens_capacity = capacity
        return 0

    cdef int leave(self, uint64_t tag, bint orphan, Py_ssize_t queue, uint64_t id) except -1:
        """Note that one publish leaves."""
        cdef Unconfirmed *slot
        if self.sequence + 1 - self.oldest >= self.ring_capacity:
            self.enlarge_ring()
        self.sequence += 1
        slot = &self.ring[self.sequence & (self.ring_capacity - 1)]
        slot.tag = tag
        slot.id = id
        slot.queue = queue
        slot.awaited = True
        slot.orphan = orphan
        return 0

    cdef int enlarge_ring(self) except -1:
        cdef uint64_t i
        cdef uint64_t capacity = 2 * self.ring_capacity if self.ring_capacity else 1024
        cdef Unconfirmed *ring = <Unconfirmed *> PyMem_Malloc(capacity * sizeof(Unconfirmed))
        if ring == NULL:
            raise MemoryError()
        for i in range(self.oldest, self.sequence + 1):
            ring[i & (capacity - 1)] = self.ring[i & (self.ring_capacity - 1)]
        PyMem_Free(self.ring)
        self.ring = ring
        self.ring_capacity = capacity
        return 0

    cdef void wait_for(self, Open *open, uint64_t count) noexcept:
        if open == NULL:
            return
        if open.state != WAITING:
            open.missing = 0
        open.missing += <int64_t> count
        self.enter(open, WAITING if open.missing else FINISHED)

    def publish(self, uint64_t tag, publishes, FrameWriter writer not None):
        """Write the outputs of delivery ``tag``, which is finished when all of them are safe.

        Args:
            tag: The delivery, or `NO_DELIVERY`. For one that is not open the outputs are sent,
                and that is all.
            publishes: What to send. With nothing to send, the delivery is finished at once.
            writer: The publishing channel's.

        Raises:
            IndexError: There is no such queue. Nothing of the outputs is written.
            OverflowError: An id is out of range. Nothing of the outputs is written.
        """
        self.write(tag, publishes, writer)

    cdef int write(self, uint64_t tag, object publishes, FrameWriter writer) except -1:
        cdef Open *open = self.find(tag)
        cdef Py_ssize_t index
        cdef Py_ssize_t size = writer.size
        cdef uint64_t number
        cdef uint64_t sequence = self.sequence
        try:
            for queue, id in publishes:
                number = unsigned(id, "id")
                index = writer.add(queue, number)
                self.leave(tag, open == NULL, index, number)
        except:
            writer.size = size
            self.sequence = sequence
            raise
        self.wait_for(open, self.sequence - sequence)
        return 0

    def publish_finished(self, finished, epoch, FrameWriter writer not None):
        """Write the outputs of all that is of ``epoch``; the rest belongs to a lost channel."""
        for entry_epoch, tag, publishes in finished:
            if entry_epoch == epoch:
                self.write(tag, publishes, writer)

    def expect(self, uint64_t tag, publish):
        """Note that ``publish`` leaves now for delivery ``tag``, past the writer."""
        cdef Open *open = self.find(tag)
        self.leave(tag, open == NULL, publish[0], publish[1])
        self.wait_for(open, 1)

    def confirm(self, confirms):
        """Take note of confirms, positive and negative.

        With ``multiple``, all publishes up to the sequence number are meant; with 0, all there
        are, which is AMQP's rule.
        """
        cdef uint64_t sequence, last
        cdef bint multiple, accepted
        for sequence, multiple, accepted in confirms:
            if multiple:
                last = min(sequence, self.sequence) if sequence else self.sequence
                while self.oldest <= last:
                    self.resolve(self.oldest, accepted)
                    self.oldest += 1
            elif self.oldest <= sequence <= self.sequence:
                self.resolve(sequence, accepted)
            while (self.oldest <= self.sequence
                   and not self.ring[self.oldest & (self.ring_capacity - 1)].awaited):
                self.oldest += 1
            if self.came_back and self.oldest > self.sequence:
                self.came_back = {}  # every return comes before its confirm

    cdef int resolve(self, uint64_t sequence, bint accepted) except -1:
        cdef Unconfirmed *slot = &self.ring[sequence & (self.ring_capacity - 1)]
        cdef Open *open
        if not slot.awaited:
            return 0
        slot.awaited = False
        # An orphan is nobody's, so it may not use up a return that may be another's.
        if accepted and self.came_back and not slot.orphan:
            accepted = not self.take_back((slot.queue, slot.id))
        open = NULL if slot.orphan else self.find(slot.tag)
        if open == NULL or open.state != WAITING:
            return 0
        if not accepted:
            self.answers.setdefault(slot.tag, []).append((slot.queue, slot.id))
        open.missing -= 1
        if open.missing:
            return 0
        if slot.tag in self.answers:
            self.enter(open, IN_HAND)
            self.refused.append((slot.tag, self.answers.pop(slot.tag)))
        else:
            self.enter(open, FINISHED)
        return 0

    def returned(self, publish):
        """Take note that a message came back; its confirm is still to come.

        A return does not say which of several equal messages it is. The next of them to be
        accepted is taken for it: so there are never more that count as safe than are safe.
        """
        self.came_back[publish] = self.came_back.get(publish, 0) + 1

    cdef bint take_back(self, tuple publish) except -1:
        """Return whether that message came back and was not taken for another one yet."""
        cdef object count = self.came_back.pop(publish, 0)
        if count > 1:
            self.came_back[publish] = count - 1
        return count > 0

    def take_refused(self):
        """Return the deliveries whose publishes are all answered, not all with yes.

        Returns:
            Delivery tags, each with the publishes that came back or were refused. Publishing
            again, or `settle`, says what became of them.
        """
        refused, self.refused = self.refused, []
        return refused

    def settle(self, uint64_t tag):
        """Note that delivery ``tag`` was handed back, and is not to be acknowledged."""
        cdef Open *open = self.find(tag)
        if open == NULL or tag == NO_DELIVERY:
            return
        self.enter(open, SETTLED)
        self.answers.pop(tag, None)
        self.refused = [entry for entry in self.refused if entry[0] != tag]

    def acknowledge(self, FrameWriter writer not None):
        """Write the acknowledgements that are due.

        The finished deliveries that are the oldest open ones are acknowledged together, others
        one by one: a slow request does not hold back the acknowledgements of those behind it.

        Args:
            writer: The consuming channel's.

        Returns:
            How many deliveries were acknowledged.
        """
        cdef Py_ssize_t count, i
        cdef uint64_t together = NO_DELIVERY
        if self.startup.state == FINISHED:
            self.enter(&self.startup, IN_HAND)
        count = self.finished_count
        if not count:
            return 0
        while self.first < self.last and self.opens[self.first].state >= FINISHED:
            if self.opens[self.first].state == FINISHED:
                together = self.opens[self.first].tag
                self.enter(&self.opens[self.first], SETTLED)
            self.first += 1
        if together:
            writer.answer(ACK, together, True)
        for i in range(self.first, self.last):
            if not self.finished_count:
                break
            if self.opens[i].state == FINISHED:
                writer.answer(ACK, self.opens[i].tag, False)
                self.enter(&self.opens[i], SETTLED)
        return count

    def forget_deliveries(self):
        """The consuming channel is gone, and its tags with it; the broker delivers again."""
        cdef uint64_t i
        cdef Unconfirmed *slot
        for i in range(self.oldest, self.sequence + 1):
            slot = &self.ring[i & (self.ring_capacity - 1)]
            slot.orphan = slot.orphan or slot.tag != NO_DELIVERY
        self.first = self.last = 0
        self.last_tag = 0
        self.waiting_count = self.startup.state == WAITING
        self.finished_count = 0
        if self.startup.state == FINISHED:
            self.startup.state = IN_HAND
        self.answers = {tag: kept for tag, kept in self.answers.items() if tag == NO_DELIVERY}
        self.refused = [entry for entry in self.refused if entry[0] == NO_DELIVERY]

    def forget_publishes(self):
        """The publishing channel is gone: nobody will confirm what is unconfirmed.

        Returns:
            Delivery tags, each with the publishes that are not known to be safe, by tag.
        """
        cdef uint64_t i
        cdef Py_ssize_t k
        cdef Open *open
        cdef Unconfirmed *slot
        cdef dict unsafe = self.answers
        for i in range(self.oldest, self.sequence + 1):
            slot = &self.ring[i & (self.ring_capacity - 1)]
            open = self.find(slot.tag) if slot.awaited and not slot.orphan else NULL
            if open != NULL and open.state == WAITING:
                unsafe.setdefault(slot.tag, []).append((slot.queue, slot.id))
        for k in range(self.first, self.last):
            if self.opens[k].state == WAITING:
                self.enter(&self.opens[k], IN_HAND)
        if self.startup.state == WAITING:
            self.enter(&self.startup, IN_HAND)
        self.answers = {}
        self.came_back = {}
        self.oldest = 1
        self.sequence = 0
        return sorted(unsafe.items())


# --- the inbox --------------------------------------------------------------------------------


@cython.final
cdef class Inbox:
    """Passes deliveries from the I/O thread to the workers, whole batches at a time.

    Workers take one after another, so that a slow request holds up no other, and what nobody has
    begun can be taken back at any time. All but what `seat` returns is for the I/O thread.

    Nothing is locked. Who finds nothing to take announces that it waits, and looks once more; who
    brings something looks afterwards for who waits. So one of them sees the other.

    Args:
        is_settled: Asked by a worker, with epoch and delivery, of what was delivered before:
            whether nothing is to be done about it any more.
        clock: Returns seconds, and does not jump.
    """

    # Threads share these, so they never change; what is in the deques does, one call at a time.
    cdef object is_settled
    cdef object clock
    cdef object work
    cdef object waiting
    cdef list seats
    cdef object epoch  # only the I/O thread looks at it
    cdef bint closed

    def __cinit__(self):
        self.work = deque()
        self.waiting = deque()
        self.seats = []
        self.epoch = 0

    def __init__(self, is_settled, clock=time.monotonic):
        self.is_settled = is_settled
        self.clock = clock

    def __len__(self):
        """How many deliveries nobody has begun."""
        return len(self.work)

    @property
    def busy_seconds(self):
        """Seconds that the workers have spent on requests until now, all of them together."""
        cdef double now = self.clock()
        cdef double total = 0
        cdef Seat seat
        for seat in tuple(self.seats):
            total += seat.busy_until(now)
        return total

    @property
    def busy_workers(self):
        """How many workers have a request in hand."""
        return len(self.seats) - len(self.waiting)

    def seat(self):
        """Return the place of one more worker, who is ready for work from now on.

        Its method ``receive`` waits for a delivery and returns its epoch and itself, or None when
        the inbox is closed and nothing is left. It is for that worker's thread.
        """
        cdef Seat seat = Seat(self)
        self.seats.append(seat)
        return seat

    def renew(self, epoch):
        """Forget what nobody has begun: the channel is another one.

        Args:
            epoch: The new life of the channel. Delivery tags of one mean nothing in another.
        """
        self.epoch = epoch
        self.work.clear()

    def put(self, deliveries):
        """Hand deliveries of this life of the channel to the workers."""
        cdef object epoch = self.epoch
        cdef list entries = [(epoch, delivery) for delivery in deliveries]
        self.work.extend(entries)
        self.wake(len(entries))

    def take_back(self, Py_ssize_t keep=0):
        """Take away from the workers what none has begun, but for the ``keep`` oldest."""
        cdef list taken = []
        try:
            while len(self.work) > keep:
                taken.append(self.work.pop()[1])
        except IndexError:
            pass  # a worker was quicker
        taken.reverse()
        return taken

    def close(self):
        """Let every worker end that finds nothing more to do."""
        self.closed = True
        self.wake(len(self.seats))

    cdef int wake(self, Py_ssize_t count) except -1:
        cdef Seat seat
        while count > 0 and self.waiting:
            try:
                seat = self.waiting.pop()
            except IndexError:  # it has found something by itself
                break
            seat.lock.release()
            count -= 1
        return 0


@cython.final
cdef class Seat:
    """The place of one worker at an `Inbox`."""

    cdef Inbox inbox
    cdef object lock
    cdef double busy  # seconds until the last wait
    cdef double since  # when the last wait ended; 0 while it goes on

    def __cinit__(self, Inbox inbox not None):
        self.inbox = inbox
        self.since = inbox.clock()
        self.lock = Lock()
        self.lock.acquire()

    def receive(self):
        """Wait for a delivery; see `Inbox.seat`."""
        cdef object work
        while True:
            work = self.take()
            if work is None:
                if self.wait():
                    continue
                return None
            epoch, delivery = work
            if not (delivery[2] and self.inbox.is_settled(epoch, delivery)):
                return work

    cdef object take(self):
        """Return what is to be processed next, or None while there is nothing."""
        if not self.inbox.work:
            return None
        try:
            return self.inbox.work.popleft()
        except IndexError:  # another worker was quicker
            return None

    cdef double busy_until(self, double now) noexcept:
        cdef double since = self.since
        return self.busy + (now - since if since else 0.0)

    cdef bint wait(self) except -1:
        """Wait until there may be something; return whether it is worth another look."""
        cdef Inbox inbox = self.inbox
        self.busy = self.busy_until(inbox.clock())
        self.since = 0
        inbox.waiting.append(self)
        if inbox.work or inbox.closed:
            self.stay_awake()
        else:
            self.lock.acquire()
        self.since = inbox.clock()
        return not inbox.closed or bool(inbox.work)

    cdef int stay_awake(self) except -1:
        """Do not wait after all."""
        try:
            self.inbox.waiting.remove(self)
        except ValueError:  # whoever brought something has called us meanwhile
            self.lock.acquire()
        return 0
