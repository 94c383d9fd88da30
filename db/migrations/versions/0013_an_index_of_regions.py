"""An index of the reviews that have regions, so that a few of them are found among a million"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    drawn = sa.text("CAST(regions AS TEXT) <> '[]'")
    op.create_index("ix_reviews_with_regions", "reviews", ["id"], sqlite_where=drawn, postgresql_where=drawn)
