-- What a journal needs so that years of it cost no more than the days that are decided on.

-- Which effects wait for the same thing: asked for at each turn, so it must not be read out of them.
ALTER TABLE outbox ADD COLUMN lane TEXT NOT NULL DEFAULT '';
UPDATE outbox SET lane = CASE kind
    WHEN 'SetRelease' THEN 'release/' || json_extract(CAST(body AS TEXT), '$.service')
    WHEN 'RunAction' THEN 'action/' || json_extract(CAST(body AS TEXT), '$.service')
    WHEN 'RunEvals' THEN 'evals/' || json_extract(CAST(body AS TEXT), '$.service')
    ELSE 'page/' || coalesce(json_extract(CAST(body AS TEXT), '$.via'), '')
END WHERE state IN ('planned', 'claimed');
CREATE INDEX outbox_lane ON outbox (lane, due_at, number) WHERE state = 'planned';
