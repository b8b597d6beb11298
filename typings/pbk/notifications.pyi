"""Notifications: here only what the kernel calls when its disk fails."""

from collections.abc import Callable

class NotificationInterfaceCallbacks:
    def __init__(self, user_data: None = None, **callbacks: Callable[..., None]) -> None: ...
