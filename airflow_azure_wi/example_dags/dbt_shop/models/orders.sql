select 1 as id, id as customer_id from {{ ref('customers') }}
