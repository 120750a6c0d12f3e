-- The rows of one table: how many, and the sums of the four quarters of their SHA-256. $1 is a tenant or null, $2 the
-- table's name without its version, $3 the columns that are left out.
select
    count(*) as rows,
    mod(coalesce(sum(('x' || substr(hashed.digits, 1, 16))::bit(64)::bigint), 0), 18446744073709551616)::text as first,
    mod(coalesce(sum(('x' || substr(hashed.digits, 17, 16))::bit(64)::bigint), 0), 18446744073709551616)::text as second,
    mod(coalesce(sum(('x' || substr(hashed.digits, 33, 16))::bit(64)::bigint), 0), 18446744073709551616)::text as third,
    mod(coalesce(sum(('x' || substr(hashed.digits, 49, 16))::bit(64)::bigint), 0), 18446744073709551616)::text as fourth
from (
    select encode(sha256(convert_to($2 || e'\n' || (to_jsonb(r) - $3::text[])::text, 'UTF8')), 'hex') as digits
    from views.{table} r
    where $1::text is null
        or tenant = $1
    -- So that a row is hashed once, not once for each quarter.
    offset 0
) as hashed
