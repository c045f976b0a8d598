"""A stand-in for an Azure Databricks workspace: REST API and SQL warehouse, which take valid access tokens only."""

import re
from typing import Any

import jwt
from databricks.sql.thrift_api.TCLIService import TCLIService, ttypes
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from airflow_azure_wi.testing import OfflineAzure
from tests.access_tokens import AccessTokenValidator

HOST = "adb-7405609731466262.2.azuredatabricks.net"
HTTP_PATH = "/sql/1.0/warehouses/abc123"
AUDIENCE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
MANAGEMENT = "https://management.core.windows.net/"
DONE = {"life_cycle_state": "TERMINATED", "result_state": "SUCCESS", "state_message": ""}
# The first that matches; providers before 7.7 ask for version 2.1 where newer ones ask for 2.2.
ANSWERS = {
    r"POST /api/2\.\d/jobs/(run-now|runs/submit)": {"run_id": 7},
    r"GET /api/2\.\d/jobs/runs/get": {
        "run_id": 7,
        "job_id": 42,
        "run_page_url": f"https://{HOST}/#job/42/run/7",
        "state": DONE,
    },
    r"GET /api/2\.\d/jobs/list": {"jobs": [{"job_id": 42, "settings": {"name": "nightly"}}]},
    r"(GET|PATCH) /api/2\.\d/repos": {"id": 5, "head_commit_id": "abc"},
    r"GET /api/2\.\d/workspace/get-status": {"object_type": "REPO", "object_id": 5},
}


class DatabricksWorkspace:
    """An ASGI application for :meth:`OfflineAzure.serving`.

    :ivar visits: the requests that had a valid access token: method, path and the client id in the token.
    :ivar refusals: why the others were refused.
    """

    def __init__(self, azure: OfflineAzure) -> None:
        self._validator = AccessTokenValidator(azure)
        self._warehouse = TCLIService.Processor(Warehouse())
        self.visits: list[tuple[str, str, str]] = []
        self.refusals: list[str] = []
        methods = ["GET", "POST", "PATCH", "DELETE"]
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=methods)])

    async def _answer(self, request: Request) -> Response:
        if request.url.path == "/oidc/v1/token":
            # The SQL connector tries to exchange tokens of other issuers than the workspace, and goes on without it:
            # https://github.com/databricks/databricks-sql-python/blob/main/src/databricks/sql/auth/token_federation.py
            return JSONResponse({"error": "invalid_request"}, 400)
        try:
            claims = await run_in_threadpool(self._check, request)
        except jwt.PyJWTError as error:
            self.refusals.append(str(error))
            return JSONResponse({"error_code": "403", "message": "Invalid access token."}, 403)
        self.visits.append((request.method, request.url.path, claims["appid"]))
        if request.url.path == HTTP_PATH:
            return Response(self._run_thrift(await request.body()), media_type="application/x-thrift")
        asked = f"{request.method} {request.url.path}"
        found = next((body for pattern, body in ANSWERS.items() if re.match(pattern, asked)), None)
        return JSONResponse({"error_code": "ENDPOINT_NOT_FOUND"}, 404) if found is None else JSONResponse(found)

    def _check(self, request: Request) -> dict[str, Any]:
        """Return the claims of the access token; raise an error unless Entra signed it for Databricks."""
        claims = self._validator.claims(request.headers.get("authorization", "").removeprefix("Bearer "), AUDIENCE)
        if "x-databricks-azure-workspace-resource-id" in request.headers:
            self._validator.claims(request.headers.get("x-databricks-azure-sp-management-token", ""), MANAGEMENT)
        return claims

    def _run_thrift(self, body: bytes) -> bytes:
        answer = TMemoryBuffer()
        self._warehouse.process(TBinaryProtocol(TMemoryBuffer(body)), TBinaryProtocol(answer))
        return answer.getvalue()

    def client_ids(self) -> set[str]:
        """Return who came."""
        return {client_id for _, _, client_id in self.visits}


OK = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)
HANDLE = ttypes.THandleIdentifier(guid=b"0123456789abcdef", secret=b"0123456789abcdef")
PROTOCOL = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7
# Its class has another name in databricks-sql-connector 4.0.
PRIMITIVE_TYPE = ttypes.TTypeEntry.thrift_spec[1][3][0]
INTEGER = ttypes.TTypeDesc(types=[ttypes.TTypeEntry(primitiveEntry=PRIMITIVE_TYPE(type=ttypes.TTypeId.INT_TYPE))])


class Warehouse:
    """A SQL warehouse that answers every statement with one row: 42."""

    def OpenSession(self, request: Any) -> Any:
        return ttypes.TOpenSessionResp(
            status=OK, serverProtocolVersion=PROTOCOL, sessionHandle=ttypes.TSessionHandle(HANDLE, PROTOCOL)
        )

    def CloseSession(self, request: Any) -> Any:
        return ttypes.TCloseSessionResp(status=OK)

    def ExecuteStatement(self, request: Any) -> Any:
        column = ttypes.TColumnDesc(columnName="answer", typeDesc=INTEGER, position=1)
        rows = ttypes.TRowSet(
            startRowOffset=0, rows=[], columns=[ttypes.TColumn(i32Val=ttypes.TI32Column(values=[42], nulls=b"\0"))]
        )
        return ttypes.TExecuteStatementResp(
            status=OK,
            operationHandle=ttypes.TOperationHandle(HANDLE, ttypes.TOperationType.EXECUTE_STATEMENT, True),
            directResults=ttypes.TSparkDirectResults(
                operationStatus=ttypes.TGetOperationStatusResp(
                    status=OK, operationState=ttypes.TOperationState.FINISHED_STATE
                ),
                resultSetMetadata=ttypes.TGetResultSetMetadataResp(
                    status=OK,
                    schema=ttypes.TTableSchema(columns=[column]),
                    resultFormat=ttypes.TSparkRowSetType.COLUMN_BASED_SET,
                ),
                resultSet=ttypes.TFetchResultsResp(status=OK, hasMoreRows=False, results=rows),
                closeOperation=ttypes.TCloseOperationResp(status=OK),
            ),
        )
