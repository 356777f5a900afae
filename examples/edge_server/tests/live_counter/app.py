"""An application as Fanout's Live Counter is one: views in Django with django-grip, and a process of its own that
purges with fastly, then publishes with gripcontrol. The edge sees what it would see of the original. What the
original sends through Redis to its publisher goes through a pipe: lines of `{"name": .., "value": ..}`.

    app.py serve      counters at /counters/<name>/; prints `ready PORT`, then its changes
    app.py publish    reads changes; prints `ready`, then what became of each

The settings are the original's: FASTLY_API_KEY, FASTLY_DOMAIN, GRIP_URL. The edge is on EDGE_PORT of localhost.
"""

import json
import os
import queue
import sys
import threading
import time

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="not one",
    ROOT_URLCONF=__name__,
    MIDDLEWARE=[
        "django_grip.GripMiddleware",
        "django.middleware.security.SecurityMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
    ],
    GRIP_URL=os.environ["GRIP_URL"],
    LOGGING_CONFIG=None,
)
django.setup()

import fastly  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.http import HttpResponse, HttpResponseNotAllowed  # noqa: E402
from django.urls import path, reverse  # noqa: E402
from django_grip import publish, set_hold_stream  # noqa: E402
from gripcontrol import HttpStreamFormat  # noqa: E402

# At most one purge and one publish of a counter in this time, in seconds.
INTERVAL = 1.0

values = {}
lock = threading.Lock()


def say(*words):
    print(*words, flush=True)


def event(value):
    return f"event: message\ndata: {value}\n\n"


def counter(request, name):
    if request.method == "GET":
        value = values.get(name, 0)
        if "text/event-stream" in request.headers.get("Accept", ""):
            set_hold_stream(request, f"counter-{name}")
            # Old browsers held back the first 2 kB.
            response = HttpResponse(f":{' ' * 2048}\n\n{event(value)}", content_type="text/event-stream")
        else:
            response = HttpResponse(f"{value}\n", content_type="text/plain")
        response["Cache-Control"] = "s-maxage=600"
        response["Vary"] = "Accept"
        return response
    if request.method == "POST":
        with lock:
            value = values[name] = values.get(name, 0) + 1
            say(json.dumps({"name": name, "value": value}))
        return HttpResponse(f"{value}\n", content_type="text/plain")
    return HttpResponseNotAllowed(["GET", "POST"])


urlpatterns = [path("counters/<str:name>/", counter, name="counter")]


def send(name, value):
    """The purge, then the publish; without the one not the other."""
    try:
        domain = os.environ["FASTLY_DOMAIN"]
        # As it is by default: TLS, and a certificate that is checked. Only the port is not 443.
        cdn = fastly.API(host="localhost", port=int(os.environ["EDGE_PORT"]))
        cdn.authenticate_by_key(os.environ["FASTLY_API_KEY"])
        purged = cdn.purge_url(domain, reverse("counter", args=[name]))
    except Exception as error:
        say("purge", name, value, type(error).__name__)
        return
    say("purge", name, value, "ok" if purged else "refused")

    def done(ok, message):
        say("publish", name, value, "ok" if ok else message)

    publish(f"counter-{name}", HttpStreamFormat(event(value)), callback=done)


def serve():
    server = ThreadedWSGIServer(("127.0.0.1", 0), WSGIRequestHandler)
    server.set_app(get_wsgi_application())
    say("ready", server.server_port)
    server.serve_forever()


def publish_changes():
    changes = queue.Queue()
    threading.Thread(target=lambda: [changes.put(json.loads(line)) for line in sys.stdin], daemon=True).start()
    say("ready")
    sent, waiting = {}, {}
    while True:
        # What is due, the newest value of each counter; then until the next change, or the next that is due.
        now = time.monotonic()
        for name in [name for name in waiting if now - sent.get(name, -INTERVAL) >= INTERVAL]:
            sent[name] = now
            send(name, waiting.pop(name))
        try:
            change = changes.get(timeout=0.1 if waiting else None)
            waiting[change["name"]] = change["value"]
        except queue.Empty:
            pass


{"serve": serve, "publish": publish_changes}[sys.argv[1]]()
