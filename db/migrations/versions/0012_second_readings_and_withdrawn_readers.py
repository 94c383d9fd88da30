"""Second readings of a case by the same reader, and readers who were withdrawn from a reader study"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reviews", sa.Column("repeat", sa.Integer(), nullable=False, server_default="0"))
    op.drop_index("uq_reviews_first_in_study", "reviews")
    first = sa.text("supersedes IS NULL AND reader_study IS NOT NULL")
    op.create_index(
        "uq_reviews_first_in_study", "reviews", ["reader_study", "study_id", "reviewer", "phase", "repeat"], unique=True,
        sqlite_where=first, postgresql_where=first,
    )  # fmt: skip
    op.add_column("readers", sa.Column("withdrawn_at", sa.Text(), nullable=False, server_default=""))
    op.add_column("readers", sa.Column("withdrawn_because", sa.Text(), nullable=False, server_default=""))
