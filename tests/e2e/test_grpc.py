"""gRPC, by its own library, through previews and the API host."""

import concurrent.futures
import queue
import socket

import grpc
import pytest

from h2c_world import API, api_config, edge  # noqa: F401 (fixtures)
from harness import DOMAIN, PATIENCE


# ---- gRPC, by its own library

PLAIN = {"request_deserializer": None, "response_serializer": None}


class Echo(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/echo/Unary":
            return grpc.unary_unary_rpc_method_handler(self.unary, **PLAIN)
        if call.method == "/echo/Many":
            return grpc.unary_stream_rpc_method_handler(lambda r, c: (r + b"%d" % i for i in range(5)), **PLAIN)
        if call.method == "/echo/Sum":
            return grpc.stream_unary_rpc_method_handler(lambda rs, c: b"%d" % sum(map(len, rs)), **PLAIN)
        if call.method == "/echo/Chat":
            return grpc.stream_stream_rpc_method_handler(lambda rs, c: (b"re: " + r for r in rs), **PLAIN)
        return None

    @staticmethod
    def unary(request, context):
        context.set_trailing_metadata((("x-after", "yes"),))
        if request == b"fail":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not ready: 50 %")
        return request


@pytest.fixture(scope="module")
def service():
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool, handlers=[Echo()], options=[("grpc.so_reuseport", 0)])
        server.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield server
        server.stop(0).wait()


def channel(edge, host):
    credentials = grpc.ssl_channel_credentials(edge.ca.read_bytes())
    return grpc.secure_channel(f"127.0.0.1:{edge.port['tls']}", credentials, options=[
        ("grpc.ssl_target_name_override", host), ("grpc.default_authority", host), ("grpc.enable_retries", 0)])


def test_grpc(edge, service):
    host = edge.create_preview(service.port, "box", "--protocol", "h2c")
    with channel(edge, host) as calls:
        unary = calls.unary_unary("/echo/Unary")
        answer, call = unary.with_call(b"hello", timeout=PATIENCE)
        assert answer == b"hello" and ("x-after", "yes") in [tuple(m) for m in call.trailing_metadata()]
        big = bytes(2_000_000)
        assert unary(big, timeout=PATIENCE) == big
        assert list(calls.unary_stream("/echo/Many")(b"n", timeout=PATIENCE)) == [b"n%d" % i for i in range(5)]
        assert calls.stream_unary("/echo/Sum")(iter([b"a" * 1000] * 50), timeout=PATIENCE) == b"50000"
        chat = calls.stream_stream("/echo/Chat")
        says, said = queue.Queue(), []
        says.put(b"0")
        for answer in chat(iter(says.get, None), timeout=PATIENCE):
            said.append(answer)
            says.put(b"%d" % len(said) if len(said) < 10 else None)
        assert said == [b"re: %d" % i for i in range(10)]
        with pytest.raises(grpc.RpcError) as error:
            unary(b"fail", timeout=PATIENCE)
        assert error.value.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert error.value.details() == "not ready: 50 %"
        with pytest.raises(grpc.RpcError) as error:
            calls.unary_unary("/echo/Nothing")(b"", timeout=PATIENCE)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_grpc_errors_of_the_edge(edge, service):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        closed = edge.create_preview(probe.getsockname()[1], "box", "--protocol", "h2c")
        cases = [(f"box-1.{DOMAIN}", grpc.StatusCode.UNIMPLEMENTED, "no preview"),
                 (closed, grpc.StatusCode.UNAVAILABLE, "Nothing listens")]
        for host, code, words in cases:
            with channel(edge, host) as calls, pytest.raises(grpc.RpcError) as error:
                calls.unary_unary("/echo/Unary")(b"x", timeout=PATIENCE)
            assert (error.value.code(), words in error.value.details()) == (code, True), error.value
    host = edge.create_preview(service.port, "box", "--protocol", "h2c", "--bearer")
    with channel(edge, host) as calls, pytest.raises(grpc.RpcError) as error:
        calls.unary_unary("/echo/Unary")(b"x", timeout=PATIENCE)
    assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED


# ---- behind an API host


def test_grpc_through_the_api(make_edge, service):
    edge = make_edge(config=api_config(service))
    with channel(edge, API) as calls:
        unary = calls.unary_unary("/echo/Unary")
        assert unary(b"hello", timeout=PATIENCE, metadata=[("x-box-api-key", "k-test")]) == b"hello"
        with pytest.raises(grpc.RpcError) as error:
            unary(b"hello", timeout=PATIENCE)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED
        many = calls.unary_stream("/echo/Many")(b"n", timeout=PATIENCE, metadata=[("x-box-api-key", "k-test")])
        assert list(many) == [b"n%d" % i for i in range(5)]
