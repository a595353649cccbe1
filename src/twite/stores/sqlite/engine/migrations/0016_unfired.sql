-- Which tags heard of a submission's conversions and did not fire, and why: JSON, where there are any.
-- [[tag, why, [place from `first` on, …]], …]
ALTER TABLE submission ADD COLUMN unfired BLOB;
