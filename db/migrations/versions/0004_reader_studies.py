"""Reader studies, their readings and adjudications"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_MESSAGE = "adjudications are only ever added"


def upgrade() -> None:
    _reader_studies()
    _readings()
    _adjudications()
    _protect_adjudications()


def _reader_studies() -> None:
    op.create_table(
        "reader_studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("protocol", sa.Text(), nullable=False),
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Text(), nullable=False),
        sa.Column("closed_at", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('draft', 'running', 'closed')", name=op.f("ck_reader_studies_status")),
        sa.CheckConstraint("protocol IN ('aided', 'sequential', 'washout')", name=op.f("ck_reader_studies_protocol")),
        sa.ForeignKeyConstraint(["model_version"], ["models.version"], name=op.f("fk_reader_studies_model_version")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reader_studies")),
        sa.UniqueConstraint("name", name=op.f("uq_reader_studies_name")),
    )
    op.create_table(
        "reader_study_cases",
        sa.Column("reader_study", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reader_study"], ["reader_studies.id"], name=op.f("fk_reader_study_cases_reader_study")
        ),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_reader_study_cases_study_id")),
        sa.PrimaryKeyConstraint("reader_study", "study_id", name=op.f("pk_reader_study_cases")),
    )
    op.create_index("ix_reader_study_cases_study_id", "reader_study_cases", ["study_id"])
    op.create_table(
        "readers",
        sa.Column("reader_study", sa.Integer(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("half", sa.Integer(), nullable=False),
        sa.Column("added_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["reader_study"], ["reader_studies.id"], name=op.f("fk_readers_reader_study")),
        sa.PrimaryKeyConstraint("reader_study", "reader", name=op.f("pk_readers")),
    )


def _readings() -> None:
    op.create_table(
        "reader_drafts",
        sa.Column("reader_study", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["reader_study"], ["reader_studies.id"], name=op.f("fk_reader_drafts_reader_study")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_reader_drafts_study_id")),
        sa.PrimaryKeyConstraint("reader_study", "study_id", "reviewer", name=op.f("pk_reader_drafts")),
    )
    op.add_column("reviews", sa.Column("birads", sa.Text(), nullable=False, server_default=""))
    op.add_column("reviews", sa.Column("likelihood", sa.Integer(), nullable=True))
    # As text: SQLite adds a column together with its reference, and nothing else.
    op.execute(
        "ALTER TABLE reviews ADD COLUMN reader_study INTEGER "
        "CONSTRAINT fk_reviews_reader_study REFERENCES reader_studies (id)"
    )
    op.drop_index("ix_reviews_reading", "reviews")
    op.create_index(
        "ix_reviews_reading", "reviews", ["reviewer", "study_id", "phase", "id", "flagged", "reader_study"]
    )
    op.drop_index("uq_reviews_first", "reviews")
    reading = ["study_id", "reviewer", "phase"]
    _unique("uq_reviews_first", "reviews", reading, "supersedes IS NULL AND reader_study IS NULL")
    _unique(
        "uq_reviews_first_in_study", "reviews", ["reader_study", *reading],
        "supersedes IS NULL AND reader_study IS NOT NULL",
    )  # fmt: skip


def _adjudications() -> None:
    op.create_table(
        "adjudications",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("birads", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("reader_study", sa.Integer(), nullable=True),
        sa.Column("supersedes", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["reader_study"], ["reader_studies.id"], name=op.f("fk_adjudications_reader_study")),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=op.f("fk_adjudications_study_id")),
        sa.ForeignKeyConstraint(["supersedes"], ["adjudications.id"], name=op.f("fk_adjudications_supersedes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjudications")),
        sa.UniqueConstraint("supersedes", name=op.f("uq_adjudications_supersedes")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_adjudications_study_id", "adjudications", ["study_id"])
    _unique("uq_adjudications_first", "adjudications", ["study_id"], "supersedes IS NULL")


def _unique(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, unique=True, sqlite_where=condition, postgresql_where=condition)


def _protect_adjudications() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER adjudications_no_{verb.lower()} BEFORE {verb} ON adjudications "
                f"BEGIN SELECT RAISE(ABORT, '{_MESSAGE}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION adjudications_add_only() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN RAISE EXCEPTION '{_MESSAGE}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER adjudications_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON adjudications "
        "FOR EACH STATEMENT EXECUTE FUNCTION adjudications_add_only()"
    )
