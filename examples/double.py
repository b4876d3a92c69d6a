"""The outside world of the examples: a vendor's API on loopback, and a shop that signs what it delivers.

    double.py serve FOLDER KEY            an API, until it is ended; prints its port
    double.py deliver URL SECRET ORDER    one delivery of the file ORDER, as `connectors/examples/orders` says that the shop signs; prints the status

KEY and SECRET are files. FOLDER is what the vendor has: the records that it hands out, and from then on

    asked.log    a line for each request, with the status that it was answered
    done.log     a line for each thing that has happened at the vendor: what is asked for twice may be done once

Somebody else makes and removes two files there: while `busy` is there, who wants an invoice is told to come back later; who stands in
`refused` gets no reminder.
"""

import hashlib
import hmac
import http.client
import http.server
import json
import pathlib
import sys
import threading
import time
import urllib.parse

# Longer than the host waits within a call: it stores when to come back.
RETRY_AFTER = 11


def vendor(folder: pathlib.Path, key: str) -> type:
    """The API over what lies in `folder`, for who shows `key`."""
    one_at_a_time = threading.Lock()
    invoices = {}

    def note(file: str, line: str) -> None:
        with (folder / file).open("a") as log:
            log.write(line + "\n")

    def customers(query: dict) -> tuple:
        """Those that changed at `since` or later, oldest change first, by pages."""
        since, page, limit = query.get("since", ""), int(query.get("page", 1)), int(query.get("limit", 100))
        rows = json.loads((folder / "customers.json").read_text())
        rows = sorted((row for row in rows if row["updated_at"] >= since), key=lambda row: row["updated_at"])
        return 200, rows[(page - 1) * limit : page * limit]

    def create_invoice(invoice: dict, key: str) -> tuple:
        """The second one of the same key is the first one."""
        if (folder / "busy").exists():
            return 429, {"error": "come back later"}
        if key not in invoices:
            invoices[key] = {"number": len(invoices) + 1, **invoice}
            note("done.log", f"invoice {json.dumps(invoices[key])}")
        return 201, invoices[key]

    def take_due() -> tuple:
        """What is due, handed out once: who has taken it has to see to it."""
        due = folder / "due.json"
        taken = json.loads(due.read_text()) if due.exists() else []
        due.unlink(missing_ok=True)
        return 200, {"due": taken}

    def remind(reminder: dict) -> tuple:
        refused = folder / "refused"
        if refused.exists() and reminder["to"] in refused.read_text().split():
            return 422, {"error": "this address takes no mail"}
        note("done.log", f"reminder {reminder['to']}")
        return 200, {"sent": reminder["to"]}

    class Api(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            target = urllib.parse.urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            with one_at_a_time:
                status, told = self.told(target, body)
                note("asked.log", f"{status} {self.command} {self.path} {body}".rstrip())
            told = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if status == 429:
                self.send_header("Retry-After", str(RETRY_AFTER))
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = answer

        def told(self, target: urllib.parse.SplitResult, body: str) -> tuple:
            if self.headers.get("Authorization") != f"Bearer {key}":
                return 401, {"error": "who are you?"}
            match self.command, target.path.strip("/").split("/"):
                case "GET", ["customers"]:
                    return customers(dict(urllib.parse.parse_qsl(target.query)))
                case "POST", ["invoices"]:
                    return create_invoice(json.loads(body), self.headers.get("Idempotency-Key", ""))
                case "POST", ["due", "take"]:
                    return take_due()
                case "POST", ["reminders"]:
                    return remind(json.loads(body))
            return 404, {"error": "there is no such thing"}

        def log_message(self, *_: object) -> None:
            pass

    return Api


def serve(folder: str, key: str) -> None:
    api = vendor(pathlib.Path(folder), pathlib.Path(key).read_text().strip())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), api) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


def deliver(url: str, secret: str, order: str) -> None:
    target, body = urllib.parse.urlsplit(url), pathlib.Path(order).read_bytes()
    headers = {
        "X-Shop-Topic": "orders/create",
        "X-Shop-Event-Id": f"event-of-{json.loads(body)['id']}",
        "X-Shop-Timestamp": str(int(time.time())),
    }
    signed = "\n".join([headers["X-Shop-Timestamp"], headers["X-Shop-Topic"], headers["X-Shop-Event-Id"], ""])
    of = pathlib.Path(secret).read_text().strip().encode()
    headers["X-Shop-Signature"] = hmac.new(of, signed.encode() + body, hashlib.sha256).hexdigest()
    connection = http.client.HTTPConnection(target.netloc, timeout=20)
    connection.request("POST", target.path, body, headers)
    print(connection.getresponse().status)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", folder, key]:
            serve(folder, key)
        case ["deliver", url, secret, order]:
            deliver(url, secret, order)
        case _:
            sys.exit(__doc__)
