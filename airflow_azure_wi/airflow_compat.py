"""What this package asks of Airflow, where that differs between versions, or costs so much that it is asked once.

Importing this module imports nothing of Airflow: the bridge does so while Airflow itself is being imported.
"""

import functools
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

from airflow_azure_wi.errors import AirflowNotInstalledError
from airflow_azure_wi.provider import CONFIG_SECTION, OPTIONS, Field, option_name
from airflow_azure_wi.redaction import quoted

if TYPE_CHECKING:
    from airflow.sdk import BaseHook, BaseOperator
    from airflow.triggers.base import BaseTrigger, TriggerEvent

    from airflow_azure_wi.auth.metrics import Measurement
    from airflow_azure_wi.deployment import Deployment

# Airflow's own names; what else is public is defined below.
__all__ = ["BaseHook", "BaseOperator", "BaseTrigger", "TriggerEvent"]

# Where BaseHook is: in Airflow 3.1 and later, where the other name is an alias; in 2.11 and 3.0.
BASE_HOOK_MODULES = ("airflow.sdk.bases.hook", "airflow.hooks.base")

# Where Airflow 3 says which connection it fetches to upload a task's log.
REMOTE_LOGGING_MODULE = "airflow.sdk.log"

# A token that was masked is remembered by its hash, so that none is kept in memory for this. When there are too many,
# all are forgotten, and masked again when they are next handed out.
_MOST_REMEMBERED = 1000
_masked: set[int] = set()


def __getattr__(name: str) -> Any:
    if name == "BaseHook":
        return _module(*BASE_HOOK_MODULES).BaseHook
    if name == "BaseOperator":  # Airflow 3.0 and later; 2.11
        return _module("airflow.sdk", "airflow.models.baseoperator").BaseOperator
    if name in ("BaseTrigger", "TriggerEvent"):
        return getattr(_module("airflow.triggers.base"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# --- Configuration. Reading five options takes as long as fifty warm access tokens, so they are read once in a process,
# as Airflow reads most of its own. Environment variables may change while a task runs, and are compared at each call.


def deployment() -> "Deployment":
    """Return the deployment of this process: the same object until one of its environment variables changes.

    :raises DeploymentError: names everything that is wrong with it, at once.
    """
    from airflow_azure_wi.deployment import VARIABLES

    return _deployment_of(*map(os.environ.get, VARIABLES))


@lru_cache(maxsize=1)
def _deployment_of(*values: str | None) -> "Deployment":
    from airflow_azure_wi.deployment import VARIABLES, Deployment

    if has_metrics():
        from airflow_azure_wi.auth.metrics import observe

        observe(measure)
    environment = {name: value for name, value in zip(VARIABLES, values, strict=True) if value is not None}
    return Deployment.of(environment, options())


@cache
def options() -> Mapping[str, str]:
    """Return the options of Airflow's configuration, as they stood there when they were first asked for."""
    conf = _conf()
    return {name: str(conf.get(CONFIG_SECTION, name, fallback="") or "") for name in OPTIONS}


@cache
def has_metrics() -> bool:
    """Return whether Airflow sends metrics anywhere."""
    names = ("statsd_on", "otel_on", "statsd_datadog_enabled")
    return any(_conf().getboolean("metrics", name, fallback=False) for name in names)


def measure(measurement: "Measurement") -> None:
    """Give a measurement to Airflow's metrics. Times are numbers of milliseconds, which no version converts."""
    # Airflow 3.2 and later; before.
    stats = _module("airflow.sdk.observability.stats", "airflow.stats").Stats
    tags = dict(measurement.tags)
    if measurement.milliseconds is None:
        stats.incr(measurement.name, tags=tags)
    else:
        stats.timing(measurement.name, measurement.milliseconds, tags=tags)


def executor() -> str:
    """Return what runs tasks, such as ``LocalExecutor``."""
    return str(_conf().get("core", "executor"))


def _conf() -> Any:
    # Airflow 3.2 and later; before.
    return _module("airflow.sdk.configuration", "airflow.configuration").conf


def switch(name: str) -> bool:
    """Return an option of type boolean, also while Airflow is being imported.

    :raises ValueError: if the value is neither true nor false.
    """
    default = OPTIONS[name].default == "True"
    # Airflow has imported this one by then, in every version; airflow.sdk.configuration it has not.
    configuration = sys.modules.get("airflow.configuration")
    if configuration is None:
        return default
    try:
        return bool(configuration.conf.getboolean(CONFIG_SECTION, name, fallback=default))
    except Exception:  # noqa: BLE001 - Airflow's own, which repeats the value in lower case, whatever it is
        value = configuration.conf.get(CONFIG_SECTION, name, fallback="")
        raise ValueError(f"{option_name(name)} is {quoted(value)}, expected True or False.") from None


@cache
def serves_stock_connections() -> bool:
    """Return whether plain ids of stock connections that name a workload identity are served too."""
    try:
        return switch("serve_stock_connections")
    except Exception as error:  # noqa: BLE001 - other people's connections have nothing to do with it
        logging.getLogger(__name__).warning(
            "Airflow's configuration: %s Stock connections stay as they are without airflow-azure-wi.", error
        )
        return False


def start_over() -> None:
    """Forget what was read, so that the next call reads the options again: for tests that change them."""
    for read in (options, has_metrics, serves_stock_connections, _deployment_of):
        read.cache_clear()


# --- What runs.


def operator() -> str | None:
    """Return the class of the operator that this process executes, or None where it executes none."""
    if _is_airflow_2() and "airflow.models.taskinstance" not in sys.modules:
        return None  # What is imported next would import that, which takes a second, and finds nothing.
    # Airflow 3; 2.11.
    find = _module("airflow.sdk", "airflow.operators.python").get_current_context
    try:
        task = find().get("task")
    except Exception:  # noqa: BLE001 - RuntimeError, or AirflowException in 2.11: no task is executed here
        return None
    return str(task.task_type) if task is not None else None


# --- Masking. In a task, it is a round trip to the supervisor, so a token is masked once.


def mask_once(token: str) -> None:
    """Keep an access token out of the task's logs, unless this process has seen to it."""
    if hash(token) not in _masked:
        mask_secret(token)
        _remember(token)


async def amask_once(token: str) -> None:
    """Do what :func:`mask_once` does, without blocking the event loop."""
    if hash(token) in _masked:
        return
    if hasattr(_masker(), "amask_secret"):  # 3.3 and later
        await _masker().amask_secret(token)
    else:
        from asgiref.sync import sync_to_async

        # Airflow 3.0 to 3.2 send it to the supervisor, which must not be done from within the loop.
        await sync_to_async(mask_secret)(token)
    _remember(token)


def _remember(token: str) -> None:
    if len(_masked) >= _MOST_REMEMBERED:
        _masked.clear()
    _masked.add(hash(token))


# A forked task has a supervisor of its own, which has been told nothing.
os.register_at_fork(after_in_child=_masked.clear)


def mask_secret(secret: str) -> None:
    """Keep a secret out of the task's logs."""
    if _is_airflow_3_0():
        _mask_secret_in_3_0(secret)
    else:
        _masker().mask_secret(secret)


def _masker() -> Any:
    # Airflow 3.0 and later; 2.11.
    return _module("airflow.sdk.log", "airflow.utils.log.secrets_masker")


@cache
def _is_airflow_3_0() -> bool:
    return version("apache-airflow").startswith("3.0.")


class _Unprinted(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def _mask_secret_in_3_0(secret: str) -> None:
    """Do what Airflow 3.0 does, whose ``dags test`` prints each message to the supervisor, this one included."""
    from airflow.sdk.execution_time import secrets_masker, task_runner
    from airflow.sdk.execution_time.comms import MaskSecret

    secrets_masker._secrets_masker().add_mask(secret)
    if comms := getattr(task_runner, "SUPERVISOR_COMMS", None):
        comms.send(MaskSecret.model_construct(value=_Unprinted(secret), name=None, type="MaskSecret"))


# --- Connections.


async def aget_connection(hook: Any, conn_id: str) -> Any:
    """Read a connection without blocking the event loop."""
    if hasattr(_masker(), "amask_secret"):  # 3.3 and later
        return await hook.aget_connection(conn_id)
    from asgiref.sync import sync_to_async

    # aget_connection of Airflow 3.1 and 3.2 masks what it read with a call that blocks the loop: forever, if another
    # coroutine of the task is waiting for the supervisor. That of 3.1 finds no stored connection in a task, either.
    return await sync_to_async(hook.get_connection)(conn_id)


def stored_connection(conn_id: str) -> Any:
    """Read a connection outside of tasks, as Airflow's own command line does: also from Airflow's database.

    :raises LookupError: if Airflow has no such connection, or cannot look where it would be.
    """
    model = _module("airflow.models.connection").Connection
    try:
        return model.get_connection_from_secrets(conn_id)
    except import_module("airflow.exceptions").AirflowException as error:
        raise LookupError(str(error)) from None


def is_not_found(error: Exception) -> bool:
    """Return whether Airflow says by an exception that it has no such connection."""
    # It is defined in airflow.sdk.exceptions or in airflow.exceptions, and in some versions in both.
    return any(ancestor.__name__ == "AirflowNotFoundException" for ancestor in type(error).__mro__)


def connection_like(connection: Any, fields: Mapping[str, Any], extra: dict[str, Any], **attributes: Any) -> Any:
    """Return a copy of a connection, which nothing stores.

    :param fields: the fields that differ.
    :param extra: its extra. Whoever asks for it as a dictionary gets these very values.
    :param attributes: further attributes of the copy.
    """
    kind: Any = type(connection)
    is_model = kind.__module__ == "airflow.models.connection"
    build = kind if is_model else _connection_with_extra(kind)
    copy = build(
        conn_id=connection.conn_id,
        conn_type=connection.conn_type,
        description=connection.description,
        port=connection.port,
        extra=json.dumps(extra),
        **fields,
    )
    if is_model:
        # Airflow 2.11, and 3.0 in part. A class derived from this one would be mapped to a table.
        copy.get_extra_dejson = lambda nested=False: dict(extra)
    else:
        copy._extra_dejson = extra
    for name, value in attributes.items():
        setattr(copy, name, value)
    return copy


@cache
def _connection_with_extra(kind: Any) -> type[Any]:
    """Derive from the connection of the task SDK one whose extra is given as a dictionary."""

    class ConnectionWithExtra(kind):  # type: ignore[misc]
        _extra_dejson: dict[str, Any]

        @property
        def extra_dejson(self) -> dict[str, Any]:
            return dict(self._extra_dejson)

        async def aextra_dejson(self) -> dict[str, Any]:  # asked for by 3.3.2 and later
            return self.extra_dejson

    ConnectionWithExtra.__name__ = ConnectionWithExtra.__qualname__ = kind.__name__
    return ConnectionWithExtra


def problem_of_database() -> str | None:
    """Say why connections cannot be read from Airflow's database here, or return None where they can."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session() as session:
            session.scalars(select(Connection.conn_id).limit(1)).all()
    except (SQLAlchemyError, ImportError, RuntimeError) as error:  # RuntimeError: Airflow keeps tasks away from it
        return f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"
    return None


# --- Pages of plugins.


def plugin_class() -> Any:
    """Return AirflowPlugin as the plugin manager that loads plugins here has it.

    The process of a task of Airflow 3.3 and later has one of its own; importing the other one takes long there.
    """
    for name in ("airflow.plugins_manager", "airflow.sdk.plugins_manager"):
        if module := sys.modules.get(name):
            return module.AirflowPlugin
    return import_module("airflow.plugins_manager").AirflowPlugin


def shows_external_views(plugin: Any) -> bool:
    """Return whether Airflow shows pages of plugins within its own, as 3.1 and later do."""
    return hasattr(plugin, "external_views")


def connections_of_types(*conn_types: str) -> list[Any]:
    """Return the connections of some types in Airflow's database, by id; for processes that may read it."""
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = select(Connection).where(Connection.conn_type.in_(conn_types)).order_by(Connection.conn_id)
        return list(session.scalars(found))


def ids_that_tasks_can_list(conn_type: str) -> list[str]:
    """Return the ids of the connections of a type in Airflow's database, as tasks of 2.11 can read it; in 3, none."""
    return [connection.conn_id for connection in connections_of_types(conn_type)] if _is_airflow_2() else []


def connection_details(conn_id: str | None) -> Any:
    """Return what an auth manager is told about a connection when it is asked who may do what with it."""
    from airflow.api_fastapi.auth.managers.models.resource_details import ConnectionDetails
    from airflow.models.connection import Connection

    # Teams came with 3.2.
    if conn_id is None or not hasattr(Connection, "get_team_name"):
        return ConnectionDetails(conn_id=conn_id)
    return ConnectionDetails(conn_id=conn_id, team_name=Connection.get_team_name(conn_id))


# --- The connection form of Airflow 2.11 to 3.1; later versions read the provider info.


def form_widgets(fields: Mapping[str, Field]) -> dict[str, Any]:
    """Return the fields of the connection as WTForms fields.

    No field is made mandatory here: the form of Airflow 2.11 holds the fields of all connection types at once.
    """
    # Imported at each call: Airflow 3.0 and 3.1 put stand-ins in its place while they read the forms.
    from wtforms import StringField

    try:
        from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    except ImportError:  # there is no form of Airflow 2.11 without the FAB provider
        widget = None
    else:
        widget = BS3TextFieldWidget()
    return {
        _widget_name(name): StringField(_text(field.label), description=_text(field.description), widget=widget)
        for name, field in fields.items()
    }


def _text(text: str) -> Any:
    """Return a text of the form as every provider has it: translated when it is shown."""
    try:
        import flask_babel
    except ImportError:
        return text
    # Where it is missing, the API server of Airflow 3.1 and 3.2 leaves a mock in its place, which returns mocks instead
    # of text: `_get_hooks_with_mocked_fab` in
    # https://github.com/apache/airflow/blob/main/airflow-core/src/airflow/api_fastapi/core_api/services/ui/connections.py
    return flask_babel.lazy_gettext(text) if isinstance(flask_babel, ModuleType) else text


def form_behaviour(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return what else the form needs to know, with the names of the older interface."""
    placeholders = {_widget_name(name): text for name, text in form["placeholders"].items()}
    return {name.replace("-", "_"): value for name, value in {**form, "placeholders": placeholders}.items()}


def _widget_name(name: str) -> str:
    """Return the name of a field's widget, and of the key in the extra that the form writes: client_id in 2.11.

    When the form of 2.11 is saved or tested, an empty widget removes the key of its name from the extra
    (``ConnectionModelView.process_form`` in ``airflow/www/views.py``): clientId of a pasted JSON would be lost. The
    parser takes both names.
    """
    return re.sub("(?=[A-Z])", "_", name).lower() if _is_airflow_2() else name


def _is_airflow_2() -> bool:
    return version("apache-airflow").startswith("2.")


# --- Remote task logs.


def replace_remote_logging_id(log: ModuleType, own_id: Callable[[str], str]) -> None:
    """Have Airflow fetch the connection of remote task logs by another id than the configured one.

    What uploads a task's log has no database to read. Airflow 3 asks its API server for the connection, and puts what
    it gets into an environment variable, where the stock hook then finds it.

    :param log: the module REMOTE_LOGGING_MODULE.
    :param own_id: returns the id to fetch for the one that is configured.
    """
    load = getattr(log, "load_remote_conn_id", None)
    if load is None:  # the first 3.0
        return

    @functools.wraps(load)
    def load_remote_conn_id() -> str | None:
        conn_id = load()
        return own_id(conn_id) if conn_id else conn_id

    log.load_remote_conn_id = load_remote_conn_id  # type: ignore[attr-defined]


# --- Airflow's command line, to which providers add subcommands in 3.2 and later.


def command_group(name: str, help: str, commands: Iterable[dict[str, Any]]) -> Any:
    """Return subcommands in the form that Airflow makes its parser from.

    :param commands: the arguments of ``ActionCommand``; in ``args``, flags and options of each argument.
    """
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    subcommands = [
        ActionCommand(**command | {"args": [Arg(flags, **options) for flags, options in command["args"]]})  # type: ignore[no-untyped-call]
        for command in commands
    ]
    return GroupCommand(name=name, help=help, subcommands=subcommands)


def _module(*names: str) -> Any:
    """Import the first of these modules that this Airflow has."""
    for name in names[:-1]:
        try:
            return import_module(name)
        except ModuleNotFoundError:
            continue
    try:
        return import_module(names[-1])
    except ModuleNotFoundError as error:
        if error.name == "airflow":
            raise AirflowNotInstalledError from None
        raise
