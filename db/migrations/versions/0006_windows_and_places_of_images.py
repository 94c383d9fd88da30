"""Windows to choose from, and where an image stands in its study"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("windows", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("images", sa.Column("series", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("images", sa.Column("phase", sa.Integer(), nullable=True))
    op.add_column("images", sa.Column("slice", sa.Integer(), nullable=True))
    op.add_column("images", sa.Column("frame_time_ms", sa.Double(), nullable=True))
