"""The peer `airbyte-cdk`: an `HttpStream` in Python; messages on stdout.

    airbyte_cdk_source.py BASE PAGE read --config FILE --catalog FILE

A full refresh: no cursor field is compared and nothing is held against the schema.
"""

import sys

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.sources import AbstractSource
from airbyte_cdk.sources.streams.http import HttpStream
from airbyte_cdk.sources.streams.http.requests_native_auth import TokenAuthenticator

BASE, PAGE = sys.argv[1], int(sys.argv[2])
KEY = "sk_test_portcullis_bench_000000"
TEXT = {"type": ["null", "string"]}
SCHEMA = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "object": {"type": "string"},
        "balance": {"type": ["null", "integer"]},
        "created": {"type": ["null", "integer"]},
        "currency": TEXT,
        "delinquent": {"type": ["null", "boolean"]},
        "description": TEXT,
        "email": TEXT,
        "livemode": {"type": ["null", "boolean"]},
        "metadata": {"type": ["null", "object"], "additionalProperties": True},
        "name": TEXT,
        "phone": TEXT,
        "preferred_locales": {"type": ["null", "array"], "items": TEXT},
        "tax_exempt": TEXT,
    },
}


class Customers(HttpStream):
    """The one stream."""

    name = "customers"
    url_base = BASE + "/"
    primary_key = "id"

    def path(self, **_) -> str:
        return "v1/customers"

    def request_params(self, stream_state, stream_slice=None, next_page_token=None) -> dict:
        return {"limit": PAGE, **(next_page_token or {})}

    def parse_response(self, response, **_):
        # Kept for the paging, so that an answer is parsed once.
        self.answer = response.json()
        yield from self.answer["data"]

    def next_page_token(self, response) -> dict | None:
        if self.answer["has_more"]:
            return {"starting_after": self.answer["data"][-1]["id"]}
        return None

    def get_json_schema(self) -> dict:
        return SCHEMA


class Bench(AbstractSource):
    """The source."""

    def spec(self, logger):
        from airbyte_cdk.models import ConnectorSpecification

        return ConnectorSpecification(connectionSpecification={"type": "object", "properties": {}})

    def check_connection(self, logger, config):
        return True, None

    def streams(self, config):
        return [Customers(authenticator=TokenAuthenticator(token=KEY))]


if __name__ == "__main__":
    launch(Bench(), sys.argv[3:])
