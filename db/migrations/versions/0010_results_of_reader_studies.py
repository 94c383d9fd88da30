"""Simulated and imported reader studies, and counts of reviews that triggers keep"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KEY = ("model_version", "task", "reviewer", "phase", "predicted", "label", "band", "month")


def upgrade() -> None:
    op.add_column("reader_studies", sa.Column("simulated", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "imported_studies",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("readers", sa.Integer(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("imported_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("readings", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imported_studies")),
        sa.UniqueConstraint("name", name=op.f("uq_imported_studies_name")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_imported_studies_fingerprint")),
    )
    op.create_table(
        "review_counts",
        sa.Column("model_version", sa.Text(), nullable=False),
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("predicted", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("band", sa.Integer(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint(*_KEY, name=op.f("pk_review_counts")),
    )
    op.execute(
        f"INSERT INTO review_counts ({', '.join(_KEY)}, n) SELECT {_values('r')}, count(*) FROM reviews r "
        "JOIN predictions p ON p.id = r.prediction_id WHERE r.reader_study IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM reviews later WHERE later.supersedes = r.id) "
        f"GROUP BY {', '.join(str(place) for place in range(1, len(_KEY) + 1))}"
    )
    if op.get_context().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER reviews_counted AFTER INSERT ON reviews WHEN NEW.reader_study IS NULL "
            f"BEGIN {_take_away()}; {_add()}; END"
        )
        return
    op.execute(
        "CREATE FUNCTION reviews_count() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NEW.reader_study IS NULL THEN {_take_away()}; {_add()}; END IF; RETURN NULL; END $$"
    )
    op.execute("CREATE TRIGGER reviews_counted AFTER INSERT ON reviews FOR EACH ROW EXECUTE FUNCTION reviews_count()")


def _values(row: str) -> str:
    """What the counts' key is of a review (under that name) and its prediction p. Bands are fifths of the confidence."""
    band = f"CASE WHEN {row}.confidence IS NULL THEN -1 WHEN {row}.confidence >= 80 THEN 4 ELSE {row}.confidence / 20 END"
    return (
        f"p.model_version, p.task, {row}.reviewer, {row}.phase, p.predicted, {row}.label, {band}, "
        f"substr({row}.created_at, 1, 7)"
    )


def _add() -> str:
    """The new review counts one more."""
    return (
        f"INSERT INTO review_counts ({', '.join(_KEY)}, n) SELECT {_values('NEW')}, 1 FROM predictions p "
        f"WHERE p.id = NEW.prediction_id ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET n = review_counts.n + 1"
    )


def _take_away() -> str:
    """The review that it supersedes no longer counts."""
    return (
        f"UPDATE review_counts SET n = n - 1 WHERE ({', '.join(_KEY)}) = (SELECT {_values('r')} FROM reviews r "
        "JOIN predictions p ON p.id = r.prediction_id WHERE r.id = NEW.supersedes)"
    )
