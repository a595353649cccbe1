-- What pages told X's pixel, by conversion id: a life shows its twin without a walk through the
-- sightings. Of these alone, so that what only servers submit costs nothing more.
CREATE INDEX sighting_twin ON sighting (lane, conversion_id, at) WHERE way IN ('pixel', 'blocked');
