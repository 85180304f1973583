-- Dashboards that are found, kept in versions, starred and annotated; who has one open; what a person prefers.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

-- What a list shows and a search reads, taken from the document whenever it is saved: a list of many dashboards need
-- not open their documents. A deleted dashboard stays for a while, so that deleting can be taken back.
ALTER TABLE dashboards
  ADD COLUMN description text NOT NULL DEFAULT '',
  ADD COLUMN folder text NOT NULL DEFAULT '',
  ADD COLUMN tags text[] NOT NULL DEFAULT '{}',
  ADD COLUMN tile_count int NOT NULL DEFAULT 0,
  ADD COLUMN search text NOT NULL DEFAULT '',
  ADD COLUMN deleted_at timestamptz;
ALTER TABLE dashboards DROP CONSTRAINT dashboards_team_id_uid_key;
CREATE UNIQUE INDEX dashboards_uid ON dashboards (team_id, uid) WHERE deleted_at IS NULL;
CREATE INDEX dashboards_deleted ON dashboards (deleted_at) WHERE deleted_at IS NOT NULL;

-- Every save keeps its document.
CREATE TABLE dashboard_versions (
  dashboard_id uuid NOT NULL REFERENCES dashboards ON DELETE CASCADE,
  revision int NOT NULL,
  team_id uuid NOT NULL,
  document jsonb NOT NULL,
  note text NOT NULL DEFAULT '',
  author text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (dashboard_id, revision)
);

CREATE TABLE dashboard_stars (
  user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  dashboard_id uuid NOT NULL REFERENCES dashboards ON DELETE CASCADE,
  team_id uuid NOT NULL,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (user_id, dashboard_id)
);
CREATE INDEX dashboard_stars_dashboard ON dashboard_stars (dashboard_id);

-- Written by hand; those of queries and replays are read where they are.
CREATE TABLE annotations (
  id uuid PRIMARY KEY,
  dashboard_id uuid NOT NULL REFERENCES dashboards ON DELETE CASCADE,
  team_id uuid NOT NULL,
  tile text NOT NULL DEFAULT '',        -- '': all of the dashboard's charts
  time timestamptz NOT NULL,
  time_end timestamptz CHECK (time_end >= time),
  content text NOT NULL CHECK (length(content) BETWEEN 1 AND 2000),
  tags text[] NOT NULL DEFAULT '{}',
  author text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX annotations_time ON annotations (dashboard_id, time);

-- Who has a dashboard open: one row for each node, person and way, renewed while it is true. A crash may lose it.
CREATE UNLOGGED TABLE presence (
  dashboard_id uuid NOT NULL,
  node text NOT NULL,
  user_id uuid NOT NULL,
  editing boolean NOT NULL,
  team_id uuid NOT NULL,
  name text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (dashboard_id, node, user_id, editing)
) WITH (fillfactor = 70);

-- What a person wants the same everywhere; nothing of it is any team's.
CREATE TABLE preferences (
  user_id uuid PRIMARY KEY REFERENCES users ON DELETE CASCADE,
  timezone text NOT NULL DEFAULT '',    -- an IANA name; '': the browser's
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

DO $$
DECLARE t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['dashboard_versions', 'dashboard_stars', 'annotations', 'presence'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY team ON %I FOR ALL TO dash_app USING (team_id = dash.current_team()) WITH CHECK (team_id = dash.current_team())', t);
    EXECUTE format('CREATE POLICY everyone ON %I FOR ALL TO dash_ingest USING (true) WITH CHECK (true)', t);
    EXECUTE format('GRANT ALL ON %I TO dash_ingest', t);
  END LOOP;
END $$;
-- A person is known in a team by being its member.
ALTER TABLE preferences ENABLE ROW LEVEL SECURITY;
ALTER TABLE preferences FORCE ROW LEVEL SECURITY;
CREATE POLICY team ON preferences FOR ALL TO dash_app
  USING (EXISTS (SELECT FROM dash.members m WHERE m.user_id = preferences.user_id))
  WITH CHECK (EXISTS (SELECT FROM dash.members m WHERE m.user_id = preferences.user_id));
CREATE POLICY everyone ON preferences FOR ALL TO dash_ingest USING (true) WITH CHECK (true);
GRANT ALL ON preferences TO dash_ingest;
GRANT SELECT, INSERT, DELETE ON dashboard_versions, dashboard_stars TO dash_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON annotations, presence TO dash_app;
GRANT SELECT, INSERT, UPDATE ON preferences TO dash_app;

-- What is there already, as the role that sees every team.
RESET ROLE;
SET LOCAL ROLE dash_ingest;
INSERT INTO dashboard_versions (dashboard_id, revision, team_id, document, author, created_at)
SELECT id, revision, team_id, document, updated_by, updated_at FROM dashboards;
UPDATE dashboards d SET
  description = coalesce(document ->> 'description', ''),
  tile_count = t.tiles,
  search = trim(lower(concat_ws(' ', d.title, d.uid, document ->> 'description', t.words)))
FROM (SELECT id, count(tile) AS tiles, string_agg(concat_ws(' ', tile ->> 'title', tile -> 'query' ->> 'pipeline'), ' ') AS words
      FROM dashboards
      LEFT JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(document -> 'tiles') WHEN 'array' THEN document -> 'tiles' ELSE '[]' END) tile ON true
      GROUP BY id) t
WHERE t.id = d.id;
RESET ROLE;
SET LOCAL search_path = "$user", public;
