"""The peer `dlt`: the `rest_api` source into a folder of JSON lines, extracted, normalised and loaded.

    dlt_pipeline.py BASE PAGE FOLDER

Nothing compressed, one worker a stage, no incremental cursor.
"""

import sys
from pathlib import Path

import dlt
from dlt.sources.helpers.rest_client.paginators import BasePaginator
from dlt.sources.rest_api import rest_api_source

BASE, PAGE, FOLDER = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
KEY = "sk_test_portcullis_bench_000000"


class AfterTheLast(BasePaginator):
    """Stripe's paging: the next page begins after the last id."""

    after = None

    def update_state(self, response, data=None) -> None:
        self._has_next_page = response.json()["has_more"]
        if self._has_next_page:
            self.after = data[-1]["id"]

    def update_request(self, request) -> None:
        # Called before the first page too, which comes after none.
        if self.after:
            request.params["starting_after"] = self.after


def main() -> None:
    source = rest_api_source(
        {
            "client": {"base_url": BASE + "/v1/", "auth": {"type": "bearer", "token": KEY}},
            "resources": [
                {
                    "name": "customers",
                    "primary_key": "id",
                    "write_disposition": "append",
                    "endpoint": {
                        "path": "customers",
                        "params": {"limit": PAGE},
                        "data_selector": "data",
                        "paginator": AfterTheLast(),
                    },
                    "max_table_nesting": 0,
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=str(FOLDER / "state"),
        destination=dlt.destinations.filesystem(bucket_url=(FOLDER / "out").as_uri()),
        dataset_name="bench",
    )
    pipeline.run(source, loader_file_format="jsonl").raise_on_failed_jobs()


if __name__ == "__main__":
    main()
