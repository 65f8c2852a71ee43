-- Expand: the version before does not know the column and does not miss it.
alter table products add column sku text;
