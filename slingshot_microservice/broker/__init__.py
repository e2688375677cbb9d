"""Getting ids in and out, safely: RabbitMQ and a broker in memory behind one protocol."""
