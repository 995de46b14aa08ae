"""Giving up root's rights before the first request.

SageMaker "expects all containers to run with root users. [...] users that do not have root-level access can cause
permissions issues" (https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html), so the image
has no USER. Photos come from strangers, and decoding them needs no rights: the server reads the model as root and then
becomes a user that owns nothing.
"""

from __future__ import annotations

import logging
import os

log = logging.getLogger(__name__)


def drop_rights(uid: int) -> None:
    """Make this process, with all its threads, the user and group `uid`, without other groups; 0: change nothing.

    A container that does not run as root, or whose capabilities were taken away, goes on as who it is, with a warning.
    """
    if not uid or os.getuid() == uid:
        return
    try:
        os.setgroups([])
        os.setgid(uid)
        # Last, because it takes away the right to the others. glibc changes all threads: nptl(7).
        os.setuid(uid)
    except PermissionError as error:
        log.warning("serving as user %s, not as user %s of SERVING_UID: %s", os.getuid(), uid, error)
    else:
        log.info("serving as user %s: without root's rights", uid)
