"""Many environments at once, each in a process of its own: Gymnasium's AsyncVectorEnv."""

import gymnasium as gym

import proactive_env  # registers the ids
from proactive_env.turn import NO_REPLY

if __name__ == "__main__":
    print("proactive-env", proactive_env.__version__)
    envs = gym.make_vec(
        "TinyWorld-v0",
        num_envs=2,
        vectorization_mode="async",
        vector_kwargs={"shared_memory": False},  # frames vary in number and size
        pay="turn",  # every step pays what its turn earned
    )
    observations, infos = envs.reset(seed=0)
    earned = [0.0] * envs.num_envs
    for _ in range(6):
        shown = zip(observations["frames"], observations["time"], strict=True)
        print("  ".join(f"{len(frames)} frames until {time:g} s" for frames, time in shown))
        actions = [NO_REPLY, "A red circle."]  # one an environment
        observations, rewards, terminated, truncated, infos = envs.step(actions)
        earned = [sum(pair) for pair in zip(earned, rewards, strict=True)]
    print("silence earned {:.3f} so far, guessing {:.3f}".format(*earned))
    envs.close()
