"""The peer `singer-sdk`: a `RESTStream` with the SDK's own paginator; messages on stdout.

    singer_sdk_tap.py BASE PAGE

No replication key: the tap sorts nothing and compares no bookmark. Messages are encoded by msgspec, which the SDK ships beside its
slower default.
"""

import os
import sys

from singer_sdk import RESTStream, Stream, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.pagination import BaseAPIPaginator

BASE, PAGE = sys.argv[1], int(sys.argv[2])
KEY = "sk_test_portcullis_bench_000000"


class AfterTheLast(BaseAPIPaginator[str | None]):
    """Stripe's paging: the next page begins after the last id."""

    def __init__(self, stream: "Customers") -> None:
        super().__init__(None)
        self.stream = stream

    def has_more(self, response) -> bool:
        return self.stream.answer["has_more"]

    def get_next(self, response) -> str:
        return self.stream.answer["data"][-1]["id"]


class Customers(RESTStream):
    """The one stream."""

    name = "customers"
    path = "/v1/customers"
    url_base = BASE
    primary_keys = ("id",)
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True),
        th.Property("object", th.StringType, required=True),
        th.Property("balance", th.IntegerType),
        th.Property("created", th.IntegerType),
        th.Property("currency", th.StringType),
        th.Property("delinquent", th.BooleanType),
        th.Property("description", th.StringType),
        th.Property("email", th.StringType),
        th.Property("livemode", th.BooleanType),
        th.Property("metadata", th.ObjectType(additional_properties=th.StringType)),
        th.Property("name", th.StringType),
        th.Property("phone", th.StringType),
        th.Property("preferred_locales", th.ArrayType(th.StringType)),
        th.Property("tax_exempt", th.StringType),
    ).to_dict()

    @property
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token=KEY)

    @property
    def requests_session(self):
        session = super().requests_session
        # `Session.send` does not look into the environment.
        session.verify = os.environ["REQUESTS_CA_BUNDLE"]
        return session

    def get_new_paginator(self) -> AfterTheLast:
        return AfterTheLast(self)

    def get_url_params(self, context, next_page_token) -> dict:
        after = {"starting_after": next_page_token} if next_page_token else {}
        return {"limit": PAGE, **after}

    def parse_response(self, response):
        # Kept for the paging, so that an answer is parsed once.
        self.answer = response.json()
        yield from self.answer["data"]


class Bench(Tap):
    """The tap."""

    name = "tap-bench"
    config_jsonschema = th.PropertiesList().to_dict()
    message_writer_class = MsgSpecWriter

    def discover_streams(self) -> list[Stream]:
        return [Customers(self)]


if __name__ == "__main__":
    Bench(config={}, parse_env_config=False).sync_all()
