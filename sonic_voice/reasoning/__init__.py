"""Any model behind the voice: the service hears and speaks, a reasoner thinks.

    from sonic_voice import ModelReasoner, reasoner_model, reasoner_tool

    reasoner = ModelReasoner(reasoner_model("openai:http://localhost:11434/v1#llama3.2"))
    config = SessionConfig(tools=(reasoner_tool(DEFAULT_MODEL),))
    async with Session.open(config, transport) as session:
        await converse(session, source, sink, reasoner=reasoner)

A reasoner is any function that takes the conversation and yields sentences (`Reasoner`), such as a
`ModelReasoner`: a text model behind Chat Completions, Responses, Messages or Converse, with tools
of its own.

- `expert_tool`: the tool through which the voice model asks, and what its calls say.
- `expert`: the answers in a conversation: sentences, barge-in, timeouts, fallback.
- `requests`: a request to a text model, whatever its API; `chat_completions`, `responses`,
  `messages` and `converse` write and read it. All of these are pure.
- `model_apis`: the network of these APIs. `model_reasoner`: sentences and tools.
"""
