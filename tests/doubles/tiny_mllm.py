"""A vision-language model of a real class, tiny and with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

library: Any = pytest.importorskip("transformers", reason="the extra 'mllm' is not installed")

CHAT = (
    "{% for turn in messages %}<|im_start|>{{ turn.role }}\n"
    "{% for part in turn.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"),
    *("<|image_pad|>", "<|video_pad|>"),
)
WIDTH = 32


def tiny_processor() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytes_alone = Tokenizer(models.BPE({byte: n for n, byte in enumerate(alphabet)}, []))
    bytes_alone.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_alone.decoder = decoders.ByteLevel()
    bytes_alone.add_special_tokens(list(SPECIAL))
    tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=bytes_alone, pad_token=SPECIAL[0])
    return library.Qwen3VLProcessor(
        image_processor=library.Qwen2VLImageProcessor(
            patch_size=16, merge_size=4, size={"shortest_edge": 64 * 64, "longest_edge": 512 * 512}
        ),
        tokenizer=tokenizer,
        video_processor=library.Qwen3VLVideoProcessor(patch_size=16, merge_size=4),
        chat_template=CHAT,
    )


def tiny_qwen3_vl_embedding(folder: Path) -> Path:
    """A folder like that of Qwen3-VL-Embedding: its class with a head, and a tokenizer that ends
    texts with ``<|endoftext|>``."""
    from tokenizers import processors

    processor = tiny_processor()
    end = SPECIAL[0]
    processor.tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}",
        special_tokens=[(end, int(processor.tokenizer.convert_tokens_to_ids(end)))],
    )
    model = tiny_model(processor)
    whole = library.Qwen3VLForConditionalGeneration(model.config).eval()
    whole.model.load_state_dict(model.state_dict())
    whole.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tiny_qwen3_vl() -> tuple[Any, Any]:
    """A model with its language head, and its processor."""
    processor = tiny_processor()
    torch.manual_seed(0)
    return library.Qwen3VLForConditionalGeneration(tiny_model(processor).config).eval(), processor


def tiny_model(processor: Any) -> Any:
    def token(name: str) -> int:
        return int(processor.tokenizer.convert_tokens_to_ids(name))

    config = library.Qwen3VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": WIDTH,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 1, 1],
                "mrope_interleaved": True,
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 4,
            "patch_size": 16,
            "spatial_merge_size": 4,
            "out_hidden_size": WIDTH,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
    )
    torch.manual_seed(0)
    return library.Qwen3VLModel(config).eval()
