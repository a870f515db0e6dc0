"""Kafka: transactions, readers, the command appender, topics; over aiokafka's connections and record codec."""
