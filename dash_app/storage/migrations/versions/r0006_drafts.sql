-- The text of a mapping that somebody is still working on, under an id that is shared as a link within the team.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

CREATE TABLE mapping_drafts (
  id text PRIMARY KEY CHECK (length(id) BETWEEN 16 AND 64),
  team_id uuid NOT NULL REFERENCES teams,
  pipeline_id uuid NOT NULL REFERENCES pipelines,
  content text NOT NULL CHECK (octet_length(content) <= 262144),
  base int NOT NULL,                -- the newest version when it was written; 0: there was none
  author text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX mapping_drafts_age ON mapping_drafts (created_at);

ALTER TABLE mapping_drafts ENABLE ROW LEVEL SECURITY;
ALTER TABLE mapping_drafts FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON mapping_drafts FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team());
CREATE POLICY everyone ON mapping_drafts FOR ALL TO dash_ingest USING (true) WITH CHECK (true);
GRANT SELECT, INSERT ON mapping_drafts TO dash_app;
GRANT ALL ON mapping_drafts TO dash_ingest;
RESET ROLE;
SET LOCAL search_path = "$user", public;
