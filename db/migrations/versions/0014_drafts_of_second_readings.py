"""A draft for each reading of a case that comes twice in a reader study, where both shared one"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OLD = ("reader_study", "study_id", "reviewer", "values", "updated_at")


def upgrade() -> None:
    connection = op.get_bind()
    old = sa.table("reader_drafts", *(sa.column(name) for name in _OLD))
    kept = connection.execute(sa.select(*old.c)).mappings().all()
    op.drop_table("reader_drafts")
    op.create_table(
        "reader_drafts",
        sa.Column("reader_study", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["reader_study"], ["reader_studies.id"], name=op.f("fk_reader_drafts_reader_study")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_reader_drafts_study_id")),
        sa.PrimaryKeyConstraint("reader_study", "study_id", "reviewer", "repeat", name=op.f("pk_reader_drafts")),
    )
    texts = (sa.column(name) for name in ("reader_study", "study_id", "reviewer", "repeat", "updated_at"))
    new = sa.table("reader_drafts", *texts, sa.column("values", sa.JSON()))
    rows = [{**row, "values": _parsed(row["values"])} for row in kept]
    if rows:
        op.bulk_insert(new, [{**row, "repeat": row["values"].get("repeat", 0)} for row in rows])


def _parsed(values: object) -> dict:
    """SQLite keeps JSON as text, PostgreSQL's driver may give it parsed."""
    return json.loads(values) if isinstance(values, str) else dict(values)
