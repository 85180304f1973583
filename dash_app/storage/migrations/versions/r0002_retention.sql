-- What has expired is hidden first and removed later: these say what is hidden.
SET LOCAL ROLE dash_owner;
ALTER TABLE dash.pipelines
  ADD COLUMN records_from timestamptz,  -- records with an earlier time are not read any more
  ADD COLUMN rollups_from timestamptz,  -- buckets that begin earlier are not either
  ADD COLUMN payloads_from bigint,      -- payloads with a smaller id have expired
  ADD COLUMN swept_at timestamptz;      -- when records before records_from were last removed; null: they are still to go
ALTER TABLE dash.bronze_files ADD COLUMN expired_at timestamptz;
CREATE INDEX bronze_files_expired ON dash.bronze_files (pipeline_id, id) WHERE expired_at IS NOT NULL;
RESET ROLE;
