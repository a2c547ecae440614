from transforms import TextEncoder

encoder = TextEncoder("models/mine")
documents = encoder.encode_document(["Boil the rice for ten minutes."])
scores = encoder.encode_query(["how to cook rice"]) @ documents.T
