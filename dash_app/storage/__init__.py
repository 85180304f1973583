"""What rests: PostgreSQL and the object store. The only room that knows SQLAlchemy, psycopg, boto3 and pyarrow."""
