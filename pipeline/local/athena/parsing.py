"""Parses the text of a statement. Nothing here uses the catalog, S3 or DuckDB.

https://docs.aws.amazon.com/athena/latest/ug/ddl-sql-reference.html
https://docs.aws.amazon.com/athena/latest/ug/dml-queries-functions-operators.html
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from pipeline.local.athena import serdes, statements
from pipeline.local.athena.statements import Export, QueryError, Statement, TableName, unsupported
from pipeline.local.athena.types import from_hive
from pipeline.local.context import ServiceError

DIALECT = "athena"
_IDENTIFIER = r"[`\"]?(?P<{}>[A-Za-z_][A-Za-z0-9_]*)[`\"]?"
_SHOW_TABLES = re.compile(
    r"show\s+tables(?:\s+(?:in|from)\s+" + _IDENTIFIER.format("database") + r")?\s*;?", re.IGNORECASE
)
_NAMED = r"(?:" + _IDENTIFIER.format("database") + r"\s*\.\s*)?" + _IDENTIFIER.format("name")
_SHOW_VIEWS = re.compile(
    r"show\s+views(?:\s+(?:in|from)\s+" + _IDENTIFIER.format("database") + r")?\s*;?", re.IGNORECASE
)
_SHOW_CREATE = re.compile(r"show\s+create\s+(?P<kind>table|view)\s+" + _NAMED + r"\s*;?", re.IGNORECASE)
_MSCK = re.compile(r"msck\s+repair\s+table\s+" + _NAMED + r"\s*;?", re.IGNORECASE)
_STATEMENT_NAME = r"[`\"]?(?P<name>[A-Za-z_][A-Za-z0-9_@:]{1,256})[`\"]?"
_PREPARE = re.compile(r"prepare\s+" + _STATEMENT_NAME + r"\s+from\s+(?P<text>.+)", re.IGNORECASE | re.DOTALL)
_DEALLOCATE = re.compile(r"deallocate\s+prepare\s+" + _STATEMENT_NAME + r"\s*;?", re.IGNORECASE)
_EXECUTE = re.compile(
    r"execute\s+" + _STATEMENT_NAME + r"(?:\s+using\s+(?P<values>.+?))?\s*;?", re.IGNORECASE | re.DOTALL
)
_SHOW_DATABASES = re.compile(r"show\s+(?:databases|schemas)\s*;?", re.IGNORECASE)
_UNLOAD = re.compile(r"\s*unload\b", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9_]{1,255}")
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_COMPRESSIONS = {"snappy", "gzip", "zstd", "none", "uncompressed"}
_PROPERTY_NAMES: dict[type[exp.Expression], str] = {
    exp.FileFormatProperty: "format",
    exp.PartitionedByProperty: "partitioned_by",
    exp.WithDataProperty: "with data",
    exp.LocationProperty: "external_location",
}
# First words of statements that the dialect parses, or reads as an opaque command; others are no SQL.
_QUERIES_AND_DDL = ("SELECT", "WITH", "(", "TABLE", "CREATE", "DROP", "DESCRIBE", "DESC")
_COMMANDS = {"ALTER", "ANALYZE", "CALL", "EXECUTE", "EXPLAIN", "MSCK", "OPTIMIZE", "PREPARE", "SHOW", "VACUUM"}


def parse(text: str, parameters: Sequence[str] = ()) -> Statement:
    """The statement in `text`, with `parameters` in place of its question marks.

    Raises ServiceError (InvalidRequestException) for text that is not exactly one statement, as StartQueryExecution
    does, and QueryError for a statement that the local Athena does not have.
    """
    tokens = _tokens(text)
    if _UNLOAD.match(text):
        return _unload(text, tokens, parameters)
    if (prepared := _prepared(text.strip(), parameters)) is not None:
        return prepared
    bound = _bind(text, tokens, parameters)
    if show := _SHOW_TABLES.fullmatch(text.strip()):
        return statements.ShowTables(_checked(show["database"]) if show["database"] else None)
    if _SHOW_DATABASES.fullmatch(text.strip()):
        return statements.ShowDatabases()
    return _of_catalog(text.strip()) or _parsed(bound, tokens)


def _of_catalog(text: str) -> Statement | None:
    """A statement about the catalog that sqlglot reads as an opaque command; None for another one."""
    if show := _SHOW_VIEWS.fullmatch(text):
        return statements.ShowViews(_checked(show["database"]) if show["database"] else None)
    if show := _SHOW_CREATE.fullmatch(text):
        return statements.ShowCreate(_matched(show), show["kind"].lower() == "view")
    if repair := _MSCK.fullmatch(text):
        return statements.RepairTable(_matched(repair))
    return None


def _matched(match: re.Match[str]) -> TableName:
    return TableName(_checked(match["name"]), _checked(match["database"]) if match["database"] else None)


def _prepared(text: str, parameters: Sequence[str]) -> Statement | None:
    """PREPARE, EXECUTE or DEALLOCATE PREPARE; None for another statement."""
    if match := _PREPARE.fullmatch(text):
        inner = match["text"].strip().rstrip(";")
        _tokens(inner)  # refuses a text that is not one statement
        return statements.Prepare(match["name"], inner)
    if match := _DEALLOCATE.fullmatch(text):
        return statements.Deallocate(match["name"])
    if match := _EXECUTE.fullmatch(text):
        return statements.Execute(match["name"], _values(match["values"]) if match["values"] else tuple(parameters))
    return None


def _values(text: str) -> tuple[str, ...]:
    """The literals of a USING, as they were written."""
    commas = [token for token in _tokens(text) if token.token_type == TokenType.COMMA]
    starts = [0, *(comma.end + 1 for comma in commas)]
    ends = [*(comma.start for comma in commas), len(text)]
    return tuple(text[start:end].strip() for start, end in zip(starts, ends, strict=True))


def _tokens(text: str) -> list[Token]:
    try:
        # Sqlglot's tokenizer for Athena reads UNLOAD as one opaque command, and marks Hive's DDL with an empty token.
        tokens = sqlglot.tokenize(text, read="trino" if _UNLOAD.match(text) else DIALECT)
    except SqlglotError as error:
        raise _refused(str(error)) from None
    tokens = [token for token in tokens if token.token_type != TokenType.HIVE_TOKEN_STREAM]
    while tokens and tokens[-1].token_type == TokenType.SEMICOLON:
        tokens.pop()
    if not tokens:
        raise _refused("the query string is empty")
    if any(token.token_type == TokenType.SEMICOLON for token in tokens):
        raise _refused(f"Only one sql statement is allowed. Got: {text}")
    return tokens


def _refused(reason: str) -> ServiceError:
    # Sqlglot underlines the error's place with terminal codes.
    plain = re.sub(r"\x1b\[[0-9;]*m", "", reason)
    return ServiceError("InvalidRequestException", " ".join(plain.split()))


def _expression(text: str) -> exp.Expression:
    try:
        expression = sqlglot.parse_one(text, read=DIALECT)
    except SqlglotError as error:
        raise _refused(str(error)) from None
    assert isinstance(expression, exp.Expression)
    return expression


def _parsed(text: str, tokens: list[Token]) -> Statement:
    first = tokens[0].text.upper()
    if first not in _QUERIES_AND_DDL:
        if tokens[0].token_type == TokenType.VAR and first not in _COMMANDS:
            raise _refused(f"line 1:1: mismatched input {tokens[0].text!r}")
        raise unsupported(f"the statement {first}")
    root = _expression(text)
    match root:
        case exp.Query():
            return statements.Select(root)
        case exp.Drop() if root.args.get("kind") == "TABLE":
            (table,) = root.args["tables"]
            return statements.DropTable(table_name(table), bool(root.args.get("exists")))
        case exp.Drop() if root.args.get("kind") == "VIEW":
            (table,) = root.args["tables"]
            return statements.DropView(table_name(table), bool(root.args.get("exists")))
        case exp.Describe() if isinstance(root.this, exp.Table):
            return statements.DescribeTable(table_name(root.this))
        case exp.Create() if root.args.get("kind") == "VIEW":
            return _view(text, root)
        case exp.Create():
            return _create(root)
    raise unsupported(f"the statement {' '.join(token.text.upper() for token in tokens[:2])}")


# ------------------------------------------------------------------------------------------------ CREATE


def _create(root: exp.Create) -> Statement:
    kind = root.args.get("kind")
    exists = bool(root.args.get("exists"))
    properties = root.args.get("properties")
    listed = list(properties.expressions) if properties is not None else []
    if kind in ("DATABASE", "SCHEMA"):
        if listed:
            raise unsupported(f"CREATE {kind} with LOCATION, COMMENT or properties")
        table = root.this
        return statements.CreateDatabase(_checked((table.args.get("this") or table.args["db"]).name), exists)
    if kind != "TABLE" or root.args.get("replace"):
        raise unsupported(f"CREATE {'OR REPLACE ' if root.args.get('replace') else ''}{kind}")
    if isinstance(root.expression, exp.Query):
        options = {_property_name(item): _property_value(item) for item in listed}
        with_data = not any(isinstance(item, exp.WithDataProperty) and item.args.get("no") for item in listed)
        options.pop("with data", None)
        location = options.pop("external_location", "")
        columns, count = _buckets(options)
        export = replace(_export(options, location, "write_compression"), bucketed_by=columns, bucket_count=count)
        assert isinstance(root.this, exp.Table)
        return statements.CreateTableAs(table_name(root.this), exists, root.expression, export, with_data)
    return _external_table(root, listed, exists)


def _view(text: str, root: exp.Create) -> statements.CreateView:
    """CREATE VIEW name AS query. Raises QueryError for one with a list of columns or properties."""
    if not isinstance(root.expression, exp.Query) or not isinstance(root.this, exp.Table):
        raise unsupported("CREATE VIEW with a list of columns")
    if root.args.get("properties") is not None or root.args.get("exists"):
        raise unsupported("CREATE VIEW with properties or IF NOT EXISTS")
    # The query is all that follows the first AS.
    mark = next(token for token in _tokens(text) if token.token_type == TokenType.ALIAS)
    query = text[mark.end + 1 :].strip().rstrip(";").strip()
    return statements.CreateView(table_name(root.this), bool(root.args.get("replace")), root.expression, query)


def _external_table(root: exp.Create, listed: list[exp.Expression], exists: bool) -> statements.CreateExternalTable:
    schema = root.this
    if not isinstance(schema, exp.Schema) or not any(isinstance(item, exp.ExternalProperty) for item in listed):
        raise unsupported("CREATE TABLE that is neither EXTERNAL nor AS SELECT")
    columns = {}
    for column in schema.expressions:
        if not isinstance(column, exp.ColumnDef) or column.args.get("kind") is None:
            raise unsupported(f"{column.sql(DIALECT)!r} in a column list")
        kind = column.args["kind"].sql("hive").lower().replace(" ", "")
        from_hive(kind)
        columns[column.name.lower()] = kind
    serde = location = None
    serde_parameters: dict[str, str] = {}
    table_properties: dict[str, str] = {}
    for item in listed:
        match item:
            case exp.ExternalProperty():
                pass
            case exp.RowFormatSerdeProperty():
                serde = item.name
                given = item.args.get("serde_properties")
                serde_parameters = {p.this.name: p.args["value"].name for p in (given.expressions if given else [])}
            case exp.FileFormatProperty():
                serde = serde or _stored_as(item)
            case exp.LocationProperty():
                location = item.name
            case exp.Property() if type(item) is exp.Property:
                table_properties[item.this.name] = item.args["value"].name
            case _:
                raise unsupported(f"{item.sql(DIALECT)!r} in CREATE EXTERNAL TABLE")
    if serde not in serdes.SUPPORTED:
        raise unsupported(f"the SerDe {serde}" if serde else "the SerDe for text files")
    if location is None:
        raise QueryError("FAILED: SemanticException: CREATE EXTERNAL TABLE needs a LOCATION")
    name = table_name(schema.this)
    return statements.CreateExternalTable(name, exists, columns, serde, location, serde_parameters, table_properties)


def _stored_as(file_format: exp.FileFormatProperty) -> str | None:
    if isinstance(file_format.this, exp.InputOutputFormat):
        return None
    formats = {"ION": serdes.ION, "PARQUET": serdes.PARQUET}
    name = file_format.name.upper()
    if name not in formats:
        raise unsupported(f"STORED AS {name}")
    return formats[name]


def _property_name(item: exp.Expression) -> str:
    if type(item) is exp.Property:
        return str(item.this.name).lower()
    if type(item) not in _PROPERTY_NAMES:
        raise unsupported(f"{item.sql(DIALECT)!r} in CREATE TABLE AS")
    return _PROPERTY_NAMES[type(item)]


def _property_value(item: exp.Expression) -> str:
    if isinstance(item, exp.WithDataProperty):
        return ""
    value = item.args.get("value") or item.this
    if isinstance(value, exp.Array | exp.Schema):
        return ",".join(element.name for element in value.expressions)
    if _property_name(item) in ("partitioned_by", "bucketed_by"):
        raise QueryError(f"INVALID_TABLE_PROPERTY: {item.sql(DIALECT)} is no array of columns; write ARRAY['column']")
    return f"-{value.this.name}" if isinstance(value, exp.Neg) else str(value.name)


def _export(options: dict[str, str], location: str, compression_key: str) -> Export:
    # https://docs.aws.amazon.com/athena/latest/ug/create-table-as.html
    # https://docs.aws.amazon.com/athena/latest/ug/unload.html
    written = options.pop("format", "PARQUET").upper()
    if written != "PARQUET":
        raise unsupported(f"format = '{written}'")
    compression = options.pop(compression_key, options.pop("parquet_compression", "gzip")).lower()
    if compression not in _COMPRESSIONS:
        raise unsupported(f"{compression_key} = '{compression}'")
    partitions = tuple(name.lower() for name in options.pop("partitioned_by", "").split(",") if name)
    if options:
        raise unsupported(f"the property {sorted(options)[0]!r}")
    return Export(location, "uncompressed" if compression == "none" else compression, partitions)


def _buckets(options: dict[str, str]) -> tuple[tuple[str, ...], int]:
    """Columns and number of a CTAS's buckets; UNLOAD has none. The errors are those of Trino's HiveTableProperties."""
    columns = tuple(name.lower() for name in options.pop("bucketed_by", "").split(",") if name)
    given = options.pop("bucket_count", "0")
    if not _INTEGER.fullmatch(given):
        raise QueryError(f"INVALID_TABLE_PROPERTY: Unable to set catalog property 'bucket_count' to [{given}]")
    count = int(given)
    if count < 0:
        raise QueryError("INVALID_TABLE_PROPERTY: bucket_count must be greater than zero")
    if bool(columns) != bool(count):
        raise QueryError("INVALID_TABLE_PROPERTY: bucketed_by and bucket_count must be specified together")
    return columns, count


# ------------------------------------------------------------------------------------------------ UNLOAD


def _unload(text: str, tokens: list[Token], parameters: Sequence[str]) -> statements.Unload:
    """UNLOAD (query) TO 'location' WITH (properties): parsed as a CTAS of the query with the properties."""
    steps = [{TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}.get(token.token_type, 0) for token in tokens[1:]]
    close = next((place for place, depth in enumerate(accumulate(steps), start=1) if depth == 0), None)
    rest = tokens[close + 1 :] if close is not None else []
    if close is None or len(rest) < 3 or rest[0].text.upper() != "TO" or rest[1].token_type != TokenType.STRING:
        raise _refused("line 1:1: UNLOAD needs (SELECT ...) TO 's3://bucket/prefix/' WITH (format = 'PARQUET')")
    query = text[tokens[1].start : tokens[close].end + 1]
    bound = _bind(query, _tokens(query), parameters)
    root = _expression(f"CREATE TABLE unloaded {text[rest[2].start : tokens[-1].end + 1]} AS {bound}")
    if not isinstance(root, exp.Create) or not isinstance(root.expression, exp.Query):
        raise _refused("line 1:1: UNLOAD needs a SELECT in parentheses")
    options = {_property_name(item): _property_value(item) for item in root.args["properties"].expressions}
    return statements.Unload(root.expression, _export(options, rest[1].text, "compression"))


# ------------------------------------------------------------------------------------------------ names and values


def table_name(table: exp.Expression) -> TableName:
    """The name in a table node. Raises QueryError for functions and files in its place."""
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise unsupported(f"the table {table.sql(DIALECT)}")
    catalog = table.catalog.lower()
    if catalog not in ("", "awsdatacatalog"):
        raise QueryError(f"CATALOG_NOT_FOUND: Catalog '{catalog}' not found")
    return TableName(_checked(table.name), _checked(table.db) if table.db else None)


def _checked(name: str) -> str:
    """The name of a table or database in lower case. Raises QueryError for other than letters, digits and _.

    https://docs.aws.amazon.com/athena/latest/ug/tables-databases-columns-names.html
    """
    lowered = name.lower()
    if _NAME.fullmatch(lowered) is None:
        raise QueryError(f"FAILED: ParseException: {name!r} is not a valid name: letters, digits and underscores only")
    return lowered


def _bind(text: str, tokens: list[Token], parameters: Sequence[str]) -> str:
    """The text with each question mark replaced by its parameter, which has to be one literal.

    A parameter is written as in SQL: a string includes its quotes. Question marks are allowed in WHERE only:
    https://docs.aws.amazon.com/athena/latest/ug/querying-with-prepared-statements.html
    """
    places = [token for token in tokens if token.token_type == TokenType.PLACEHOLDER]
    if len(places) != len(parameters):
        counts = f"expected {len(places)} but found {len(parameters)}"
        raise QueryError(f"INVALID_PARAMETER_USAGE: Incorrect number of parameters: {counts}")
    if not places:
        return text
    for placeholder in _expression(text).find_all(exp.Placeholder):
        if placeholder.find_ancestor(exp.Where) is None:
            raise unsupported("a question mark outside WHERE")
    bound, end = [], 0
    for token, value in zip(places, parameters, strict=True):
        bound += [text[end : token.start], _literal(value)]
        end = token.end + 1
    return "".join([*bound, text[end:]])


def _literal(value: str) -> str:
    try:
        parsed = sqlglot.parse_one(value, read=DIALECT)
    except SqlglotError:
        parsed = None
    inner = parsed.this if isinstance(parsed, exp.Neg | exp.Cast) else parsed
    if parsed is None or not isinstance(inner, exp.Literal | exp.Boolean | exp.Null):
        raise QueryError(f"SYNTAX_ERROR: the execution parameter {value!r} is not a literal; quote a string as 'text'")
    return parsed.sql(DIALECT)
