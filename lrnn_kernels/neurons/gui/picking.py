"""Picking a file: a button, the upload behind it, and why a file did not arrive."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import events, ui

from ..recordings import RecordingError
from ..recordings.reading import OF_BYTES, ending_of
from .controller import MOST_BYTES

TOO_LARGE = f"The file is larger than {MOST_BYTES // 2**20} MB, and was not read."
FAILED = "The file did not arrive, and was not read: try again."

#: Says which rule a file of a name broke.
_REJECTED = "(files) => emit([files[0].failedPropValidation, files[0].file.name])"


def picker(
    label: str,
    arrived: Callable[[events.UploadEventArguments], object],
    failed: Callable[[str], object],
) -> None:
    """A button with which a user picks a file. ``arrived`` is called with what it holds, or
    ``failed`` with a sentence that says why it is not read."""
    upload = ui.upload(auto_upload=True, max_file_size=MOST_BYTES, on_upload=arrived)
    upload.props(f'accept="{",".join(OF_BYTES)}"').classes("hidden-upload").mark("upload")
    # It is freed for the next file in the browser, as soon as the request is over: a reset that
    # the server sends may come before its answer, and aborts the request, which then has failed.
    free = f"queueMicrotask(() => getElement({upload.id}).$refs.qRef.reset())"
    upload.on("uploaded", js_handler=f"() => {free}")
    status = f"(sent) => {{ {free}; emit(sent.xhr.status); }}"
    for event, handler in (("failed", status), ("rejected", _REJECTED)):
        upload.on(event, lambda sent: failed(_why(sent.args)), js_handler=handler)
    button = ui.button(label, icon="folder_open").props("no-caps").mark("load")
    button.on("click", js_handler=f"() => getElement({upload.id}).$refs.qRef.pickFiles()")


def _why(sent: object) -> str:
    """Of what a browser says: the status of an answer, or which rule a file of a name broke."""
    rule, name = sent if isinstance(sent, list) and len(sent) == 2 else (sent, None)
    if rule == "accept" and isinstance(name, str):
        try:
            ending_of(name)
        except RecordingError as error:
            return str(error)
    return TOO_LARGE if rule in (413, "max-file-size") else FAILED
