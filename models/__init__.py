"""Pictures and text in, vectors and scores out. No Kafka, no Milvus."""
