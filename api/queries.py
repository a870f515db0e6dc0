"""All SQL of the query side, by what it is about. Rows as they stand; what they mean to a client is made elsewhere."""

from __future__ import annotations

from api.asset_queries import AssetFilters as AssetFilters
from api.asset_queries import AssetQueries
from api.asset_queries import AssetRow as AssetRow
from api.job_queries import JobFilters as JobFilters
from api.job_queries import JobQueries
from api.money_queries import MoneyQueries
from api.statistics_queries import StatisticsQueries


class Queries(JobQueries, AssetQueries, MoneyQueries, StatisticsQueries):
    """Reads by key and by page. Every method raises Problem 503 while PostgreSQL is away."""
