"""Where Kafka is, as an operator writes it."""

import pytest

from prevenant.kafka_address import KafkaAddress


def test_several_brokers_each_with_its_port() -> None:
    address = KafkaAddress.parse("kafka://one:9093,two")
    assert address.servers == ("one:9093", "two:9092")
    assert address.for_librdkafka() == {
        "bootstrap.servers": "one:9093,two:9092",
        "security.protocol": "PLAINTEXT",
    }
    assert address.make_tls() is None


def test_user_and_password_with_tls_and_never_shown() -> None:
    address = KafkaAddress.parse("kafkas://us:s%40y@one?mechanism=SCRAM-SHA-512&ca=ca.pem")
    assert address.for_librdkafka() == {
        "bootstrap.servers": "one:9092",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "us",
        "sasl.password": "s@y",
        "ssl.ca.location": "ca.pem",
    }
    assert address.shown == "one:9092"


@pytest.mark.parametrize(
    "text",
    ["one:9092", "http://one", "kafka://", "kafka://one:0", "kafka://one:x", "kafka://:9092"],
)
def test_what_is_no_address_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="write kafka://host:9092"):
        KafkaAddress.parse(text)


@pytest.mark.parametrize("query", ["mechanism=MD5", "cacert=x"])
def test_options_that_there_are_not_are_named(query: str) -> None:
    with pytest.raises(ValueError, match=f"\\?{query.partition('=')[0]}="):
        KafkaAddress.parse(f"kafkas://one?{query}")
