"""A config as the command line of OpenRLHF's trainer: the pinned version's flags, and no others."""

from pathlib import Path

from proactive_env.recipes.training.grpo.config import GrpoConfig
from proactive_env.recipes.training.grpo.folder import AGENT, CHECKPOINTS, HELD_OUT_ROWS, ROWS, TENSORBOARD, Folder


def flags(config: GrpoConfig, out: Path, *, most_images: int, cuda: bool) -> list[str]:
    """The flags of a run.

    Args:
        config: Of the run.
        out: Its folder, which holds the prompt rows and the agent file.
        most_images: Frames that one conversation may hold.
        cuda: Whether there are GPUs.
    """
    play = config.play
    values: dict[str, object] = {
        "actor.model_name_or_path": config.model,
        "actor.num_nodes": config.nodes,
        "actor.num_gpus_per_node": config.gpus,
        "actor.adam.lr": config.learning_rate,
        "actor.lr_scheduler": "cosine_with_min_lr",
        "actor.min_lr_ratio": config.final_learning_rate,
        "actor.lr_warmup_ratio": config.warmup,
        "actor.eps_clip": config.clip,
        "actor.freeze_visual_encoder": config.freeze_vision,
        "actor.gradient_checkpointing_enable": config.gradient_checkpointing,
        "algo.advantage.estimator": "group_norm",
        "algo.kl.init_coef": config.kl,
        "ds.zero_stage": config.zero_stage,
        "ds.adam_offload": config.offload_adam,
        "ds.attn_implementation": "flash_attention_2" if cuda else "sdpa",
        "ds.enable_sleep": config.colocate and cuda,
        "vllm.num_engines": config.engines,
        "vllm.tensor_parallel_size": config.tensor_parallel,
        "vllm.gpu_memory_utilization": config.gpu_memory,
        "vllm.enable_prefix_caching": True,
        "vllm.enable_sleep": config.colocate and cuda,
        "vllm.enforce_eager": not cuda,
        "vllm.sync_backend": "nccl" if cuda else "gloo",
        "data.prompt_dataset": out / ROWS,
        "data.label_key": "label",
        "data.max_images_per_prompt": most_images,
        "data.max_len": play.max_tokens,
        "rollout.batch_size": config.windows_per_step,
        "rollout.micro_batch_size": config.micro_batch,
        "rollout.n_samples_per_prompt": config.group,
        "rollout.max_new_tokens": play.max_new_tokens,
        "rollout.temperature": play.temperature,
        "rollout.top_p": play.top_p,
        "train.agent_func_path": out / AGENT,
        "train.batch_size": config.mini_batch or config.rollouts,
        "train.micro_batch_size": config.micro_batch,
        "train.colocate_all": config.colocate,
        "train.seed": config.seed,
        "ckpt.path": out / CHECKPOINTS,
        "ckpt.output_dir": Folder(out).final,
        "ckpt.save_steps": config.save_every,
        "ckpt.save_hf": True,
        "ckpt.load_enable": True,
        "ckpt.max_num": 2,
        "ckpt.best_metric_key": "none",  # else it deletes by score, and a run resumes from the newest
        "logger.tensorboard_dir": out / TENSORBOARD,
        "logger.wandb.run_name": "train",  # the folder in it
    }
    if config.kl:
        values |= {
            "algo.kl.use_loss": True,
            "algo.kl.estimator": "k3",
            "ref.num_nodes": config.nodes,
            "ref.num_gpus_per_node": config.gpus,
        }
    if config.importance_correction:
        values |= {
            "algo.advantage.is_correction_level": "token",
            "algo.advantage.is_correction_mode": "clip",
            "algo.advantage.is_correction_threshold": 2.0,
        }
    if config.held_out:
        values |= {
            "eval.dataset": out / HELD_OUT_ROWS,
            "eval.steps": config.evaluate_every,
            "eval.temperature": 0.0,
            "eval.n_samples_per_prompt": 1,
        }
    return [word for name, value in values.items() if value is not False for word in _words(name, value)]


def _words(name: str, value: object) -> list[str]:
    return [f"--{name}"] if value is True else [f"--{name}", str(value)]
