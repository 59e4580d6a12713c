"""Guards: what the model says is judged before it is heard, and what the user says beside it.

- `verdicts`: what a guard is, its verdict, and the settings of both.
- `gate`: which words and which sound wait for which verdict (pure).
- `guarded_output`: the gate between a session and its sink; `converse` uses it.
- `moderation_prompt`: moderation models as guards: what they are asked, what they answer (pure).
- `chat_guard`: a moderation model behind a Chat Completions endpoint.

Guards of Amazon Bedrock are in `bedrock.guardrails`, because that package alone has the SDK.
"""
