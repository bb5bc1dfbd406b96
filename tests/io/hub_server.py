#!/usr/bin/env python3
"""A hub of models over HTTPS that behaves badly, for the tests of downloads.

    hub_server.py FOLDER

Makes a certificate in FOLDER (cert.pem), prints the port, and serves until stdin ends. What goes wrong is in
the model's name: see `Handler`. Every request is a line in FOLDER/requests.
"""
import hashlib
import http.server
import json
import pathlib
import ssl
import subprocess
import sys
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = bytes((i * 7 + i // 251) % 256 for i in range(300_000))
CONFIG = b'{"model_type": "llama"}\n'
FILES = {"config.json": CONFIG, "model.safetensors": LARGE, "pytorch_model.bin": b"x", "empty.json": b"",
         "original/model.safetensors": b"other", "with space.json": b"{}"}


def entry(name, data):
    out = {"rfilename": name, "size": len(data)}
    if len(data) > 1000:
        out["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    else:
        out["blobId"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    return out


def listing(kind):
    files = [entry(name, data) for name, data in FILES.items()]
    if kind == "lies-short":
        files[1]["size"] -= 1000
    if kind == "lies-long":
        files[1]["size"] += 1000
    if kind == "damaged":
        files[1]["lfs"]["sha256"] = "0" * 64
    if kind == "damaged-small":
        files[0]["blobId"] = "0" * 40
    if kind == "evil":
        files.append({"rfilename": "../outside.json", "size": 1})
    if kind == "gguf":
        files = [entry(f"m-{q}.gguf", LARGE) for q in ("Q4_K_M", "Q8_0")]
    if kind == "pickle":
        files = [entry("pytorch_model.bin", b"x")]
    if kind == "nonsense":
        return b"{ not json"
    return json.dumps({"sha": COMMIT, "siblings": files}).encode()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = {}
    lock = threading.Lock()

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        with self.lock:
            self.count[path] = self.count.get(path, 0) + 1
            nth = self.count[path]
            with open(FOLDER / "requests", "a") as log:
                log.write(f"{path} {self.headers.get('Range', '-')} {self.headers.get('If-Range', '-')} "
                          f"{self.headers.get('Authorization', '-')}\n")
        parts = path.strip("/").split("/")
        if parts[0] == "cdn":
            return self.file("redirects", FILES["/".join(parts[1:]).replace("%20", " ")], nth)
        kind = parts[3] if parts[0] == "api" else parts[1]
        if parts[0] == "api":
            if kind == "absent":
                return self.answer(404, b"no such model")
            if kind == "gated" and self.headers.get("Authorization") != "Bearer secret":
                return self.answer(401, b"no")
            if kind == "busy" and nth < 3:
                return self.answer(429, b"later", Retry_After="0")
            if kind == "broken":
                return self.answer(503, b"no")
            return self.answer(200, listing(kind))
        name = "/".join(parts[4:]).replace("%20", " ")
        if kind == "redirects":
            return self.answer(302, Location="/cdn/" + "/".join(parts[4:]))
        if kind == "gguf":
            return self.file(kind, LARGE, nth)
        if kind == "lost" and name == "model.safetensors":
            return self.answer(404, b"no such file")
        self.file(kind, FILES[name], nth)

    def file(self, kind, data, nth):
        begin, status, headers = 0, 200, {"ETag": '"one"'}
        if kind == "changes" and nth > 1:
            headers["ETag"] = '"two"'  # and If-Range no longer holds
        if kind == "weak":
            headers["ETag"] = 'W/"one"'
        wanted = self.headers.get("Range")
        if wanted and kind != "no-ranges" and self.headers.get("If-Range") == headers["ETag"]:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            status = 206
            headers["Content-Range"] = f"bytes {begin + (5 if kind == 'other-range' else 0)}-{len(data) - 1}/{len(data)}"
        body = data[begin:]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        large = len(data) > 1000
        drops = kind in ("drops", "drops-too", "no-ranges", "changes", "weak", "other-range")
        if large and drops and nth < 4:
            self.wfile.write(body[:90_000])
            self.wfile.flush()
            self.close_connection = True
            return self.connection.close()
        if large and kind == "stops":
            self.close_connection = True
            return self.connection.close()
        self.wfile.write(body)


def main():
    global FOLDER
    FOLDER = pathlib.Path(sys.argv[1])
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", FOLDER / "key.pem",
                    "-out", FOLDER / "cert.pem"], check=True, stderr=subprocess.DEVNULL)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "cert.pem", FOLDER / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
