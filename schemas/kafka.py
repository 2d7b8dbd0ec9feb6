"""How every process of ours reaches Kafka."""

from __future__ import annotations

from dataclasses import dataclass, field

_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Broker addresses and how to be let in."""

    #: host:port, several separated by commas.
    bootstrap_servers: str = "127.0.0.1:9092"
    #: PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL.
    security_protocol: str = "PLAINTEXT"
    #: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; only with a SASL protocol.
    sasl_mechanism: str = "SCRAM-SHA-512"
    #: User name; only with a SASL protocol.
    sasl_username: str = ""
    #: Its password; better given by environment than by file.
    sasl_password: str = field(default="", repr=False)
    #: PEM file of authorities; empty: the system's.
    ssl_ca_file: str = ""
    #: PEM file of a client certificate; empty: none.
    ssl_certificate_file: str = ""
    #: PEM file of its key.
    ssl_key_file: str = ""
    #: URL of a schema registry; empty: Avro single-object encoding, no registry.
    schema_registry_url: str = ""

    def __post_init__(self) -> None:
        if not self.bootstrap_servers:
            raise ValueError("kafka.bootstrap_servers is empty; set it to host:port of a broker")
        if self.security_protocol not in _PROTOCOLS:
            raise ValueError(
                f"kafka.security_protocol is {self.security_protocol!r}; it must be one of "
                f"{', '.join(_PROTOCOLS)}"
            )
        if self.uses_sasl and not (self.sasl_username and self.sasl_password):
            raise ValueError(f"{self.security_protocol} needs kafka.sasl_username and kafka.sasl_password")

    @property
    def uses_sasl(self) -> bool:
        return self.security_protocol.startswith("SASL")

    @property
    def uses_tls(self) -> bool:
        return self.security_protocol.endswith("SSL")

    def librdkafka(self) -> dict[str, str]:
        """Settings by librdkafka's names, bootstrap servers included."""
        return {"bootstrap.servers": self.bootstrap_servers, **self.librdkafka_security()}

    def librdkafka_security(self) -> dict[str, str]:
        """Only what concerns TLS and SASL; empty for plain text."""
        config: dict[str, str] = {}
        if self.security_protocol != "PLAINTEXT":
            config["security.protocol"] = self.security_protocol
        if self.uses_sasl:
            config |= {
                "sasl.mechanism": self.sasl_mechanism,
                "sasl.username": self.sasl_username,
                "sasl.password": self.sasl_password,
            }
        for name, value in (
            ("ssl.ca.location", self.ssl_ca_file),
            ("ssl.certificate.location", self.ssl_certificate_file),
            ("ssl.key.location", self.ssl_key_file),
        ):
            if value:
                config[name] = value
        return config
