"""Row changes: what a fold makes of a batch of events. Frozen, encodable, free of I/O.

A row is either whole (`NewJob`: the row begins) or a change of one that is there (`JobChange`: None leaves a column as
it is; `AccountChange`: amounts are added). Changes are made so that folding a batch at once, or in any pieces one
after the other, leaves the same rows. Field names are column names of `infra/postgres/migrations`.
"""

from projections.asset_rows import AlbumChange as AlbumChange
from projections.asset_rows import AlbumMember as AlbumMember
from projections.asset_rows import AssetChange as AssetChange
from projections.asset_rows import AssetsErased as AssetsErased
from projections.asset_rows import DataKey as DataKey
from projections.asset_rows import NewAsset as NewAsset
from projections.job_rows import JobChange as JobChange
from projections.job_rows import JobCount as JobCount
from projections.job_rows import JobEvents as JobEvents
from projections.job_rows import JobHide as JobHide
from projections.job_rows import NewGroup as NewGroup
from projections.job_rows import NewJob as NewJob
from projections.job_rows import NotMade as NotMade
from projections.job_rows import ResultGone as ResultGone
from projections.job_rows import ResultsErased as ResultsErased
from projections.money_rows import AccountChange as AccountChange
from projections.money_rows import AccountDay as AccountDay
from projections.money_rows import LedgerLine as LedgerLine
from projections.money_rows import LotChange as LotChange
from projections.money_rows import PartitionChange as PartitionChange
from projections.money_rows import PlanTaken as PlanTaken
from projections.money_rows import PublishedPlan as PublishedPlan
from projections.money_rows import Threshold as Threshold
from projections.money_rows import WindowChange as WindowChange
from projections.row_base import Logged as Logged
from projections.row_base import RawRecord as RawRecord
from projections.row_base import Row as Row
from projections.row_base import Rows as Rows
from projections.row_base import rows_of as rows_of
