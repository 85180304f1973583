-- What sources keep beside a cursor: breakers, streams and their owners, uploads, objects seen.
SET LOCAL search_path = dash, pg_temp;
SET LOCAL ROLE dash_owner;

RESET ROLE;
SET LOCAL search_path = "$user", public;
