CREATE TABLE products (
    sku         TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    price_cents INTEGER NOT NULL CHECK (price_cents >= 0)
) STRICT, WITHOUT ROWID;

INSERT INTO products (sku, name, price_cents) VALUES
    ('APPLE-1KG', 'Apples, 1 kg', 289),
    ('BREAD-RYE', 'Rye bread', 349),
    ('HONEY-250', 'Linden honey, 250 g', 699);
