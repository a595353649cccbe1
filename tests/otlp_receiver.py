"""A receiver of OTLP over HTTP on a real socket, which reads requests by their own schema."""

import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Receiver:
    """Collects spans. `status` is the status of its answers."""

    def __init__(self, status=200):
        self.status = status
        self.spans = []
        self.resources = []
        self.bodies = []
        self.headers = []
        self.url = ""

    def take(self, path, headers, body):
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if path != "/v1/traces":
            return 404
        self.headers.append(dict(headers))
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(values_of(resource.resource))
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return self.status

    def traces(self):
        """Return the spans of each trace."""
        found = {}
        for span in list(self.spans):
            found.setdefault(span.trace_id, []).append(span)
        return found


@contextmanager
def otlp_receiver(status=200):
    receiver = Receiver(status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status = receiver.take(self.path, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def values_of(span):
    """Return the attributes of a span or a resource."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in span.attributes
    }
