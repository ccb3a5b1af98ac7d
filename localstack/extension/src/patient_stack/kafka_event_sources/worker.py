"""Runs a mapping's poller on its own thread and keeps the mapping's state."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from typing import Any

from localstack.services.lambda_.event_source_mapping.esm_worker import (
    EsmState,
    EsmStateReason,
    EsmWorker,
)
from localstack.utils.threads import FuncThread

from patient_stack.kafka_event_sources.poller import KafkaPoller
from patient_stack.kafka_event_sources.settings import NO_RECORDS_PROCESSED

LOG = logging.getLogger(__name__)

# Each change to a mapping creates a new worker. Its predecessor finishes first, so that no two read
# the same partition, and only the newest updates the mapping's state.
_newest: dict[str, KafkaEventSourceWorker] = {}
_turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)


class KafkaEventSourceWorker(EsmWorker):
    """LocalStack's worker, without a wait between polls and with a complete life cycle."""

    poller: KafkaPoller

    def __init__(self, config: Any, poller: KafkaPoller, enabled: bool) -> None:
        """Prepare the worker; `create` starts it."""
        super().__init__(config, poller, enabled, EsmStateReason.USER_INITIATED)
        self._has_ended = False
        self._told_result = config.get("LastProcessingResult", NO_RECORDS_PROCESSED)
        predecessor = _newest.get(self.uuid)
        if predecessor is None:
            self.current_state = EsmState.CREATING
        elif predecessor.enabled == enabled:
            self.current_state = EsmState.UPDATING
        else:
            self.current_state = EsmState.ENABLING if enabled else EsmState.DISABLING

    def create(self) -> None:
        """Start working, or settle as disabled, once the predecessor has ended."""
        _newest[self.uuid] = self
        self._poller_thread = FuncThread(
            self.poller_loop, name=f"event-source-mapping-poller-{self.uuid}"
        )
        self._poller_thread.start()

    def stop(self) -> None:
        """Make room for a successor."""
        self.enabled = False
        self._shutdown_event.set()

    def stop_for_shutdown(self) -> None:
        """End immediately: LocalStack is stopping, along with the functions."""
        self.poller.abandons_attempts = True
        super().stop_for_shutdown()

    def delete(self) -> None:
        """End, and forget the mapping."""
        with self._state_lock:
            self._set_state(EsmState.DELETING)
            self._shutdown_event.set()
            if self._has_ended:
                self._forget()

    def poller_loop(self, *args: Any, **kwargs: Any) -> None:
        """Poll until the mapping is changed, deleted or LocalStack stops."""
        with _turns[self.uuid]:
            self._begin()
            while self.enabled and not self._shutdown_event.is_set():
                self.poller.poll_events()
                self._tell_result()
            self.poller.close()
            self._tell_result()
        with self._state_lock:
            self._has_ended = True
            if self.current_state == EsmState.DELETING:
                self._forget()

    def _begin(self) -> None:
        with self._state_lock:
            if self.current_state != EsmState.DELETING:
                self._set_state(EsmState.ENABLED if self.enabled else EsmState.DISABLED)

    def _set_state(self, state: EsmState) -> None:
        self.current_state = state
        self._tell(State=state)

    def _tell_result(self) -> None:
        result = self.poller.last_processing_result
        if result not in (self._told_result, NO_RECORDS_PROCESSED):
            self._told_result = result
            self._tell(LastProcessingResult=result)

    def _tell(self, **changes: Any) -> None:
        """Update what LocalStack shows about the mapping."""
        mapping = self._state.event_source_mappings.get(self.uuid)
        if mapping is not None and _newest.get(self.uuid) is self:
            mapping.update(changes)

    def _forget(self) -> None:
        self.delete_esm_in_store()
        if _newest.get(self.uuid) is self:
            del _newest[self.uuid]
            _turns.pop(self.uuid, None)
