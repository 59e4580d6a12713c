"""Ready-made tools over the other APIs of Bedrock, for the model of a conversation to call.

    # tools.py, for `sonic-voice talk --tools tools.py`
    from sonic_voice.delegates.images import image_tool
    from sonic_voice.delegates.knowledge import knowledge

    draw = image_tool("pictures")
    ask_handbook = knowledge("handbook")

- `images`: pictures by Nova Canvas (InvokeModel), saved in a folder.
- `videos`: videos by Nova Reel (StartAsyncInvoke), announced when they are ready.
- `knowledge`: passages of the user's own documents, with their sources. `documents` reads and
  divides them, `embeddings` makes vectors of them.
- `explanations`: errors in words that the model can pass on (pure).
- `shared_client`: the client that tools without one of their own share.
"""
