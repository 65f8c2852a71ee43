create table if not exists products (id bigint primary key, name text not null);
create table if not exists feature_flags (
    flag_key text not null,
    tenant_id text,
    enabled boolean not null default true,
    unique nulls not distinct (flag_key, tenant_id)
);
