"""The kernel's log: one for the whole process."""

from collections.abc import Callable

class LoggingOptions:
    def __init__(
        self,
        log_timestamps: bool = True,
        log_time_micros: bool = False,
        log_threadnames: bool = False,
        log_sourcelocations: bool = False,
        always_print_category_levels: bool = False,
    ) -> None: ...

class LoggingConnection:
    def __init__(self, cb: Callable[[str], None]) -> None: ...

def logging_set_options(options: LoggingOptions) -> None: ...
