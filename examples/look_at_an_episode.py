"""Look at an episode: what is shown, asked and said, what it pays, and a picture of its last turn."""

import gymnasium as gym
from PIL import Image

import proactive_env

env = gym.make("TinyWorld-v0", render_mode="rgb_array")
agent = proactive_env.agents.load("oracle")  # says each gold reply as soon as it counts
observation, info = env.reset(seed=0)
agent.reset(info)
print(f"{info['question_id']}, {info['window'][1]:g} s of video")
for gold in info["plan"].episode.gold:
    print(f"  gold reply in {gold.reply_span.start:g}..{gold.reply_span.end:g} s: {gold.text}")

done = False
while not done:
    frames, text = observation["frames"], observation["text"]
    action = agent.act(observation)
    observation, reward, terminated, truncated, info = env.step(action)
    turn = info["turn"]
    print(f"{turn.start:5.1f} to {turn.end:4.1f} s  frames {frames.shape}  {text!r} -> {action}")
    done = terminated or truncated

Image.fromarray(env.render()).save("last_turn.png")
print(f"reward {reward:.3f}, of which", {name: round(term, 3) for name, term in info["reward_terms"].items()})
print("PAUC's share, turn by turn:", [round(term, 2) for term in info["proactive_episode"]["terms_per_turn"]["pauc"]])
print("last_turn.png shows the last turn")
