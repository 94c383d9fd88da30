"""An index of each reader's readings in a reader study, so that counting them is quick"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    in_study = sa.text("reader_study IS NOT NULL")
    op.create_index(
        "ix_reviews_of_reader", "reviews", ["reader_study", "reviewer", "supersedes", "created_at"],
        sqlite_where=in_study, postgresql_where=in_study,
    )  # fmt: skip
