"""Play a part of a long video: what came before is given as history, what is scored starts inside."""

import gymnasium as gym

import proactive_env

env = gym.make("TinyWorld-v0")
_, info = env.reset(seed=0)
question = info["question_id"]
print(f"{question}: the whole episode plays {info['window']} s")

observation, info = env.reset(options={"question_id": question, "start": 11, "end": 21})
print(f"asked for 11 to 21 s; it snaps outwards to whole turns: {info['window']} s")
print(f"history: {len(info['history'])} turns, with the gold replies that are over:")
for past, reply in info["history"]:
    print(f"  until {past['time']:g} s, {len(past['frames'])} frames, {past['text']!r} -> {reply}")
for gold in info["plan"].scored:
    print(f"scored: {gold.text!r} in {gold.reply_span.start:g}..{gold.reply_span.end:g} s")

agent = proactive_env.agents.load("late")
agent.reset(info)  # takes the history
done = False
while not done:
    observation, reward, terminated, truncated, info = env.step(agent.act(observation))
    done = terminated or truncated
    print(f"until {info['turn'].end:g} s -> {info['turn'].reply}")
print(info["proactive_episode"]["counts"], f"reward {reward:.3f}")
