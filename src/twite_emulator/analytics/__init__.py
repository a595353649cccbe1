"""X's analytics: campaigns, line items, active entities, statistics and jobs.

Source unless noted: xdevplatform/docs, x-ads-api/analytics.mdx and
x-ads-api/campaign-management/reference.mdx, commit 28713281 (2026-08-22).
"""
